"""The libraries that a diffusers pipeline may name in its `model_index.json`.

Each part of a pipeline is `[library, class]`. diffusers looks for the library among its own pipeline modules, then imports
it: whatever is installed under that name, or the module `part/library.py` of the repository.

Source: diffusers `pipelines/pipeline_loading_utils.py` (`LOADABLE_CLASSES`, `get_class_obj_and_candidates`) and the modules of
`diffusers/pipelines` that bring a class of their own to a pipeline.
"""

from __future__ import annotations

from collections.abc import Collection

__all__ = ["LIBRARIES", "beside"]

# The first eleven are libraries; the others are pipeline modules.
LIBRARIES = frozenset({
    "transformers", "diffusers", "onnxruntime", "flax", "optimum", "sentence_transformers", "k_diffusion", "timm",
    "peft", "open_clip", "null", "ace_step", "allegro", "alt_diffusion", "amused", "animatediff", "audio_diffusion",
    "audioldm", "audioldm2", "aura_flow", "blip_diffusion", "chroma", "cogvideo", "cogview3", "cogview4", "consisid",
    "consistency_models", "controlnet", "controlnet_xs", "cosmos", "dance_diffusion", "ddim", "ddpm", "deepfloyd_if",
    "deprecated", "dit", "easyanimate", "flux", "hidream_image", "hunyuan_dit", "hunyuan_video", "i2vgen_xl",
    "kandinsky", "kandinsky2_2", "kandinsky3", "kolors", "latent_consistency_models", "latent_diffusion", "latte",
    "ledits_pp", "ltx", "lumina", "lumina2", "marigold", "mochi", "musicldm", "omnigen", "pag", "paint_by_example",
    "pia", "pixart_alpha", "qwenimage", "repaint", "sana", "score_sde_ve", "semantic_stable_diffusion", "shap_e",
    "skyreels_v2", "spectrogram_diffusion", "stable_audio", "stable_cascade", "stable_diffusion", "stable_diffusion_3",
    "stable_diffusion_gligen", "stable_diffusion_k_diffusion", "stable_diffusion_safe", "stable_diffusion_xl",
    "stable_video_diffusion", "t2i_adapter", "text_to_video_synthesis", "unclip", "unidiffuser", "versatile_diffusion",
    "visualcloze", "vq_diffusion", "wan", "wuerstchen",
})  # fmt: skip


def beside(library: str, part: str, names: Collection[str]) -> bool:
    """Tell whether a repository that holds `names` brings the module itself: as `library.py`, or in the folder of the part."""
    return f"{library}.py" in names or library in names or part in names
