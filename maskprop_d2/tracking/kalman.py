"""A Kalman filter for the boxes of one object that moves with constant velocity."""

import numpy as np
from scipy.linalg import cho_factor, cho_solve

POSITION_STD, VELOCITY_STD = 1 / 20, 1 / 160
"""Uncertainty of places and of velocities, as shares of the box's height (DeepSORT's)."""

ASPECT_STD, ASPECT_VELOCITY_STD, MEASURED_ASPECT_STD = 1e-2, 1e-5, 1e-1

MOTION = np.eye(8) + np.eye(8, k=4)
"""From one frame's state to the next's: four measures, then their velocities a frame."""


class BoxFilter:
    """Follows a box as (centre x, centre y, aspect ratio, height), with their velocities.

    Attributes:
        mean: (8,) the state.
        covariance: (8, 8).
    """

    def __init__(self, measured: np.ndarray):
        """From the first measured box: see ``to_measure``."""
        self.mean = np.concatenate([measured, np.zeros(4)])
        height = measured[3]
        self.covariance = np.diag(
            np.concatenate(
                [
                    _stds(2 * POSITION_STD * height, ASPECT_STD),
                    _stds(10 * VELOCITY_STD * height, ASPECT_VELOCITY_STD),
                ]
            )
            ** 2
        )

    def predict(self) -> None:
        """Go on by one frame."""
        height = self.mean[3]
        noise = np.concatenate(
            [
                _stds(POSITION_STD * height, ASPECT_STD),
                _stds(VELOCITY_STD * height, ASPECT_VELOCITY_STD),
            ]
        )
        self.mean = MOTION @ self.mean
        self.covariance = MOTION @ self.covariance @ MOTION.T + np.diag(noise**2)

    def update(self, measured: np.ndarray) -> None:
        """Correct the state by a measured box."""
        factor = cho_factor(self._measured_covariance())
        gain = cho_solve(factor, self.covariance[:4]).T
        self.mean = self.mean + gain @ (measured - self.mean[:4])
        self.covariance = self.covariance - gain @ self.covariance[:4]

    def distances(self, measured: np.ndarray) -> np.ndarray:
        """(N,) squared Mahalanobis distances of (N, 4) measured boxes to the predicted one."""
        differences = measured - self.mean[:4]
        solved = cho_solve(cho_factor(self._measured_covariance()), differences.T)
        return (differences.T * solved).sum(0)

    def _measured_covariance(self) -> np.ndarray:
        """(4, 4) of what is measured."""
        noise = _stds(POSITION_STD * self.mean[3], MEASURED_ASPECT_STD)
        return self.covariance[:4, :4] + np.diag(noise**2)


def _stds(length: float, aspect: float) -> np.ndarray:
    """(4,) standard deviations of centre, aspect ratio and height."""
    return np.array([length, length, aspect, length])


def to_measure(boxes: np.ndarray) -> np.ndarray:
    """(N, 4) boxes XYXY in pixels -> (N, 4) centre x, centre y, aspect ratio, height."""
    # A box without area would leave no room for any error.
    width, height = np.maximum(boxes[:, 2:] - boxes[:, :2], 1).T
    center_x, center_y = (boxes[:, :2] + boxes[:, 2:]).T / 2
    return np.stack([center_x, center_y, width / height, height], axis=1)
