"""A Kalman filter for the box of one object that moves with constant velocity."""

import numpy as np

# DeepSORT's standard deviations; those of position and velocity are relative to the box's height.
POSITION_STD, VELOCITY_STD = 1 / 20, 1 / 160
ASPECT_STD, ASPECT_VELOCITY_STD, MEASURED_ASPECT_STD = 1e-2, 1e-5, 1e-1
MOTION = np.eye(8) + np.eye(8, k=4)  # State transition of one frame.


class BoxFilter:
    """Tracks a box as (centre x, centre y, aspect ratio, height), with their velocities per frame.

    Attributes:
        mean: (8,) the state.
        covariance: (8, 8) covariance of the state.
    """

    def __init__(self, measured: np.ndarray):
        """``measured``: (4,) the first box, from ``to_measurements``."""
        self.mean = np.concatenate([measured, np.zeros(4)])
        self.covariance = _state_noise(2 * POSITION_STD, 10 * VELOCITY_STD, measured[3])

    def predict(self) -> None:
        """Predict the state in the next frame."""
        noise = _state_noise(POSITION_STD, VELOCITY_STD, self.mean[3])
        self.mean = MOTION @ self.mean
        self.covariance = MOTION @ self.covariance @ MOTION.T + noise

    def update(self, measured: np.ndarray) -> None:
        """Correct the state by a (4,) measured box."""
        gain = np.linalg.solve(self._measured_covariance(), self.covariance[:4]).T
        self.mean = self.mean + gain @ (measured - self.mean[:4])
        self.covariance = self.covariance - gain @ self.covariance[:4]

    def distances(self, measured: np.ndarray) -> np.ndarray:
        """(N,) squared Mahalanobis distances of (N, 4) measured boxes to the predicted box."""
        differences = (measured - self.mean[:4]).T
        return (differences * np.linalg.solve(self._measured_covariance(), differences)).sum(0)

    def _measured_covariance(self) -> np.ndarray:
        """(4, 4) covariance of the predicted measurement."""
        noise = _variances(POSITION_STD * self.mean[3], MEASURED_ASPECT_STD)
        return self.covariance[:4, :4] + np.diag(noise)


def _state_noise(position_std: float, velocity_std: float, height: float) -> np.ndarray:
    """(8, 8) covariance of independent noise, with standard deviations relative to the height."""
    positions = _variances(position_std * height, ASPECT_STD)
    velocities = _variances(velocity_std * height, ASPECT_VELOCITY_STD)
    return np.diag(np.concatenate([positions, velocities]))


def _variances(length_std: float, aspect_std: float) -> np.ndarray:
    """(4,) variances of centre, aspect ratio and height."""
    return np.square([length_std, length_std, aspect_std, length_std])


def to_measurements(boxes: np.ndarray) -> np.ndarray:
    """(N, 4) XYXY boxes in pixels -> (N, 4) centre x, centre y, aspect ratio and height."""
    # Boxes without area would make the covariances singular.
    width, height = np.maximum(boxes[:, 2:] - boxes[:, :2], 1).T
    center_x, center_y = (boxes[:, :2] + boxes[:, 2:]).T / 2
    return np.stack([center_x, center_y, width / height, height], axis=1)
