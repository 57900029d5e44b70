"""A folder of JPEGs: brick, grass or gravel? A small ResNet learns it from cuts of three photos."""

from pathlib import Path

import skimage.data
from PIL import Image

from bf_batch.opensets import ImageFolder
from bf_models import ResNet18
from bf_models.metrics import ClassificationMetrics
from bf_pipeline import B, P, Pipeline, R, V

# Photos of your own would be there already: textures/train/CLASS/*.jpg and textures/test/CLASS/*.jpg.
SIDE = 32
for name in ("brick", "grass", "gravel"):
    photo = Image.fromarray(getattr(skimage.data, name)())  # 512 x 512, gray; scikit-image brings it along
    for part, columns in (("train", range(0, 384, SIDE)), ("test", range(384, 512, SIDE))):
        folder = Path("textures", part, name)
        folder.mkdir(parents=True, exist_ok=True)
        for x in columns:
            for y in range(0, 512, SIDE):
                photo.crop((x, y, x + SIDE, y + SIDE)).save(folder / f"{x}_{y}.jpg", quality=90)

textures = ImageFolder("textures")

augment = (
    Pipeline()
    .load(dst="images")
    .rotate(angle=P(R("uniform", -20, 20)), p=0.5)
    .flip(mode="lr", p=0.5)
    .adjust_brightness(factor=P(R("uniform", 0.7, 1.3)), p=0.5)
)
prepare = Pipeline().normalize(mean=0.5, std=0.25)
network = {
    "num_classes": 3,
    "body": {"filters": 16},  # of 64: a quarter of the width
    "loss": "ce",
    "schedule": {"name": "cosine", "steps": 180},
    "seed": 0,
}
train = (
    Pipeline()
    .init_variable("losses", list)
    .init_model("dynamic", ResNet18, "net", network)
    .train_model("net", B("images"), B("labels"), fetches="loss", save_to=V("losses"), mode="a")
)
trained = (augment + prepare + train << textures.train).run(32, shuffle=True, n_epochs=10, prefetch=2, seed=0)
print(f"loss {trained.v('losses')[0]:.3f} at first, {trained.v('losses')[-1]:.3f} at last")

test = (
    Pipeline()
    .import_model("net", trained)
    .init_variable("predictions")
    .init_variable("metrics")
    .predict_model("net", B("images"), save_to=V("predictions"))
    .gather_metrics(
        ClassificationMetrics,
        B("labels"),
        V("predictions"),
        fmt="logits",
        num_classes=3,
        save_to=V("metrics"),
    )
)
tested = (Pipeline().load(dst="images") + prepare + test << textures.test).run(64)
print(f"test/accuracy {tested.v('metrics')['accuracy']:.4f}")
