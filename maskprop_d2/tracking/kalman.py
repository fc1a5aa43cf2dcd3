"""A Kalman filter for the box of one object that moves with constant velocity."""

import numpy as np
from scipy.linalg import cho_factor, cho_solve

POSITION_STD, VELOCITY_STD = 1 / 20, 1 / 160
"""Standard deviations of position and velocity, relative to the height of the box (DeepSORT's)."""

ASPECT_STD, ASPECT_VELOCITY_STD, MEASURED_ASPECT_STD = 1e-2, 1e-5, 1e-1
"""Standard deviations of the aspect ratio, of its velocity and of its measurement."""

MOTION = np.eye(8) + np.eye(8, k=4)
"""State transition of one frame: four measurements, then their velocities per frame."""


class BoxFilter:
    """Tracks a box as (centre x, centre y, aspect ratio, height), with their velocities.

    Attributes:
        mean: (8,) the state.
        covariance: (8, 8) covariance of the state.
    """

    def __init__(self, measured: np.ndarray):
        """
        Args:
            measured: (4,) the first box, see ``to_measurements``.
        """
        self.mean = np.concatenate([measured, np.zeros(4)])
        self.covariance = _state_noise(2 * POSITION_STD, 10 * VELOCITY_STD, measured[3])

    def predict(self) -> None:
        """Predict the state in the next frame."""
        noise = _state_noise(POSITION_STD, VELOCITY_STD, self.mean[3])
        self.mean = MOTION @ self.mean
        self.covariance = MOTION @ self.covariance @ MOTION.T + noise

    def update(self, measured: np.ndarray) -> None:
        """Correct the state by a (4,) measured box."""
        factor = cho_factor(self._measured_covariance())
        gain = cho_solve(factor, self.covariance[:4]).T
        self.mean = self.mean + gain @ (measured - self.mean[:4])
        self.covariance = self.covariance - gain @ self.covariance[:4]

    def distances(self, measured: np.ndarray) -> np.ndarray:
        """(N,) squared Mahalanobis distances of (N, 4) measured boxes to the predicted box."""
        differences = (measured - self.mean[:4]).T
        solved = cho_solve(cho_factor(self._measured_covariance()), differences)
        return (differences * solved).sum(0)

    def _measured_covariance(self) -> np.ndarray:
        """(4, 4) covariance of the predicted measurement."""
        noise = _stds(POSITION_STD * self.mean[3], MEASURED_ASPECT_STD)
        return self.covariance[:4, :4] + np.diag(noise**2)


def _state_noise(position_std: float, velocity_std: float, height: float) -> np.ndarray:
    """(8, 8) covariance of independent noise, with standard deviations relative to the height."""
    positions = _stds(position_std * height, ASPECT_STD)
    velocities = _stds(velocity_std * height, ASPECT_VELOCITY_STD)
    return np.diag(np.concatenate([positions, velocities]) ** 2)


def _stds(length: float, aspect: float) -> np.ndarray:
    """(4,) standard deviations of centre, aspect ratio and height."""
    return np.array([length, length, aspect, length])


def to_measurements(boxes: np.ndarray) -> np.ndarray:
    """(N, 4) XYXY boxes in pixels -> (N, 4) centre x, centre y, aspect ratio and height."""
    # Boxes without area would make the covariances singular.
    width, height = np.maximum(boxes[:, 2:] - boxes[:, :2], 1).T
    center_x, center_y = (boxes[:, :2] + boxes[:, 2:]).T / 2
    return np.stack([center_x, center_y, width / height, height], axis=1)
