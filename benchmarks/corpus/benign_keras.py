"""Keras models: their own files, and pickled."""

from __future__ import annotations

from benign_out import Out


def make(out: Out) -> None:
    """Write sequential and functional models as .keras, .h5, weights and pickles."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(0)
    plain = keras.Sequential([keras.Input((4,)), layers.Dense(8, activation="relu"), layers.Dropout(0.1), layers.Dense(1)])
    image = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(4, 3),
            layers.BatchNormalization(),
            layers.Flatten(),
            layers.Dense(2, activation="softmax"),
        ]
    )
    given = keras.Input((6,), dtype="int32")
    text = keras.Model(given, layers.Dense(2)(layers.LSTM(4)(layers.Embedding(20, 8)(given))))
    plain.compile(optimizer="adam", loss="mse", metrics=["mae"])
    for name, model in (("mlp", plain), ("cnn", image), ("lstm", text)):
        for suffix in ("keras", "h5", "weights.h5"):
            save = model.save_weights if suffix.startswith("weights") else model.save
            out.write(f"{name}.{suffix}", save)
        out.pickle(name, model)
        out.joblib(name, model)
