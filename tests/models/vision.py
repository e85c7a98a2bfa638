"""Vision: classifiers, segmenters, detectors, vision transformers. A builder gives (module, input names, cases, dynamic axes)."""
import torch
from torch import nn

MODELS = {}
BOTH = "dynamo18 ts17"


def model(exporters=BOTH, name=None):
    def add(f):
        MODELS[name or f.__name__] = (f, exporters)
        return f
    return add


NCHW = {"x": {0: "n"}}
IMAGE = {"x": {0: "n", 2: "h", 3: "w"}}


def images(sizes):
    return [(torch.randn(s),) for s in sizes]


def hf(module, outputs):
    """One tensor in, the named outputs."""
    class Plain(nn.Module):
        def __init__(self):
            super().__init__()
            self.m = module

        def forward(self, x):
            out = self.m(x)
            return tuple(getattr(out, o) for o in outputs)
    return Plain()


def classifier(name, size=128, exporters=BOTH, free=False, **options):
    def build():
        import torchvision
        m = getattr(torchvision.models, name)(weights=None, **options)
        if free:
            return m, ["x"], images([(2, 3, size, size), (1, 3, size + 32, size), (3, 3, size, size + 64)]), IMAGE
        return m, ["x"], images([(2, 3, size, size), (1, 3, size, size), (5, 3, size, size)]), NCHW
    MODELS[name] = (build, exporters)


classifier("resnet18", exporters="dynamo18 ts9 ts11 ts13 ts17", free=True)
classifier("resnext50_32x4d", free=True)
classifier("efficientnet_b0", free=True)
classifier("efficientnet_v2_s", exporters="dynamo18", free=True)
classifier("regnet_y_400mf", free=True)
classifier("regnet_x_400mf", exporters="dynamo18", free=True)
classifier("densenet121", free=True)
classifier("shufflenet_v2_x0_5", exporters="dynamo18 ts9 ts17", free=True)
classifier("mnasnet0_5", free=True)
classifier("mobilenet_v2", exporters="dynamo18 ts9", free=True)
classifier("mobilenet_v3_small", exporters="dynamo18 ts9 ts11 ts17", free=True)
classifier("squeezenet1_1", exporters="dynamo18 ts9", free=True)
classifier("googlenet", free=True, init_weights=False, aux_logits=False)
classifier("inception_v3", size=224, free=True, init_weights=False)
classifier("alexnet", exporters="ts9 dynamo18")
classifier("vgg11_bn", exporters="ts11", size=64)
classifier("convnext_tiny", free=True)
classifier("swin_t", exporters=BOTH)
classifier("swin_v2_t", exporters=BOTH)
classifier("maxvit_t", size=224, exporters=BOTH)
classifier("vit_b_32", size=224, exporters="dynamo18 ts13 ts17")


def segmenter(name, **options):
    def build():
        import torchvision

        class Out(nn.Module):
            def __init__(self):
                super().__init__()
                self.m = getattr(torchvision.models.segmentation, name)(weights=None, weights_backbone=None, num_classes=5, **options)

            def forward(self, x):
                return self.m(x)["out"]
        return Out(), ["x"], images([(1, 3, 128, 160), (2, 3, 96, 128)]), IMAGE
    MODELS[name] = (build, "dynamo18 ts11 ts17")


segmenter("deeplabv3_mobilenet_v3_large")
segmenter("fcn_resnet50")
segmenter("lraspp_mobilenet_v3_large")


def detector(name, size=192, **options):
    def build():
        import torchvision

        class Out(nn.Module):
            def __init__(self):
                super().__init__()
                self.m = getattr(torchvision.models.detection, name)(weights=None, weights_backbone=None, num_classes=7, min_size=size, max_size=size + 64, **options)
                for p in self.m.parameters():
                    if p.dim() > 1:
                        p.data.mul_(1.5)

            def forward(self, x):
                return tuple(self.m([x])[0].values())
        return Out(), ["x"], [(torch.rand(3, 160, 200),), (torch.rand(3, 240, 128),)], {"x": {1: "h", 2: "w"}}
    MODELS[name] = (build, "ts11 ts17 dynamo18")


detector("fasterrcnn_mobilenet_v3_large_320_fpn")
detector("fasterrcnn_resnet50_fpn")
detector("maskrcnn_resnet50_fpn")
detector("keypointrcnn_resnet50_fpn")
detector("retinanet_resnet50_fpn", score_thresh=0.0)
detector("fcos_resnet50_fpn", score_thresh=0.0)


def ssd(name):
    def build():
        import torchvision

        class Out(nn.Module):
            def __init__(self):
                super().__init__()
                self.m = getattr(torchvision.models.detection, name)(weights=None, weights_backbone=None, num_classes=7)

            def forward(self, x):
                return tuple(self.m([x])[0].values())
        return Out(), ["x"], [(torch.rand(3, 320, 320),), (torch.rand(3, 240, 200),)], {"x": {1: "h", 2: "w"}}
    MODELS[name] = (build, "ts11 ts17 dynamo18")


ssd("ssdlite320_mobilenet_v3_large")
ssd("ssd300_vgg16")


def timm_model(name, size=224, exporters="dynamo18 ts17", **options):
    def build():
        import timm
        m = timm.create_model(name, pretrained=False, exportable=True, **options)
        return m, ["x"], images([(1, 3, size, size), (3, 3, size, size)]), NCHW
    MODELS["timm_" + name] = (build, exporters)


for n in ["deit_tiny_patch16_224", "mobilevit_xxs", "mobilevitv2_050", "convnextv2_atto", "tf_efficientnet_b0", "ghostnet_100", "mobilenetv4_conv_small",
          "mixer_s32_224", "resmlp_12_224", "poolformer_s12", "edgenext_xx_small", "repvgg_a0", "fastvit_t8", "efficientvit_b0", "levit_128s", "xcit_nano_12_p16_224",
          "coat_tiny", "pvt_v2_b0", "twins_svt_small", "mvitv2_tiny", "hrnet_w18_small", "res2net50_26w_4s", "dla34", "cait_xxs24_224", "volo_d1_224", "beit_base_patch16_224",
          "eva02_tiny_patch14_224", "nfnet_l0", "tiny_vit_5m_224", "focalnet_tiny_srf", "davit_tiny", "gcresnet33ts", "halonet26t", "lambda_resnet26t", "botnet26t_256", "visformer_tiny", "convit_tiny",
          "crossvit_tiny_240", "inception_next_tiny", "starnet_s1", "repvit_m0_9", "rdnet_tiny", "vit_tiny_patch16_224", "nest_tiny", "sequencer2d_s", "hiera_tiny_224", "vovnet39a", "selecsls42", "tresnet_m"]:
    size = {"crossvit_tiny_240": 240, "botnet26t_256": 256, "halonet26t": 256, "fastvit_t8": 256, "mobilevit_xxs": 256, "mobilevitv2_050": 256}.get(n, 224)
    timm_model(n, size, "dynamo18 ts17" if n in ("deit_tiny_patch16_224", "levit_128s", "coat_tiny", "mobilevit_xxs", "mvitv2_tiny", "twins_svt_small") else "dynamo18")


@model()
def detr():
    from transformers import DetrConfig, DetrForObjectDetection, ResNetConfig
    c = DetrConfig(use_timm_backbone=False, use_pretrained_backbone=False, backbone=None, backbone_config=ResNetConfig(embedding_size=16, hidden_sizes=[32, 64, 64, 128], depths=[1, 1, 1, 1], out_features=["stage4"]), d_model=64,
                   encoder_layers=2, decoder_layers=2, encoder_ffn_dim=128, decoder_ffn_dim=128, encoder_attention_heads=4, decoder_attention_heads=4, num_queries=20)
    return hf(DetrForObjectDetection(c), ["logits", "pred_boxes"]), ["x"], images([(1, 3, 128, 160), (2, 3, 192, 128)]), IMAGE


@model()
def rt_detr():
    from transformers import RTDetrConfig, RTDetrForObjectDetection, RTDetrResNetConfig
    c = RTDetrConfig(backbone_config=RTDetrResNetConfig(embedding_size=16, hidden_sizes=[32, 64, 96, 128], depths=[1, 1, 1, 1], layer_type="basic", out_features=["stage2", "stage3", "stage4"]), encoder_in_channels=[64, 96, 128],
                     encoder_hidden_dim=64, encoder_ffn_dim=128, encoder_attention_heads=4, d_model=64, decoder_in_channels=[64, 64, 64], decoder_ffn_dim=128, num_queries=30, decoder_layers=2, decoder_attention_heads=4,
                     use_pretrained_backbone=False, anchor_image_size=None)
    return hf(RTDetrForObjectDetection(c), ["logits", "pred_boxes"]), ["x"], images([(1, 3, 128, 160), (2, 3, 192, 128)]), IMAGE


@model()
def deformable_detr():
    from transformers import DeformableDetrConfig, DeformableDetrForObjectDetection, ResNetConfig
    c = DeformableDetrConfig(use_timm_backbone=False, use_pretrained_backbone=False, backbone=None, backbone_config=ResNetConfig(embedding_size=16, hidden_sizes=[32, 64, 64, 128], depths=[1, 1, 1, 1], out_features=["stage2", "stage3", "stage4"]),
                             d_model=64, encoder_layers=2, decoder_layers=2, encoder_ffn_dim=128, decoder_ffn_dim=128, encoder_attention_heads=4, decoder_attention_heads=4, num_queries=20)
    return hf(DeformableDetrForObjectDetection(c), ["logits", "pred_boxes"]), ["x"], images([(1, 3, 128, 160), (2, 3, 192, 128)]), IMAGE


@model()
def yolos():
    from transformers import YolosConfig, YolosForObjectDetection
    c = YolosConfig(hidden_size=64, num_hidden_layers=3, num_attention_heads=4, intermediate_size=128, image_size=[128, 160], num_detection_tokens=20)
    return hf(YolosForObjectDetection(c), ["logits", "pred_boxes"]), ["x"], images([(1, 3, 128, 160), (2, 3, 192, 128)]), IMAGE


@model()
def segformer():
    from transformers import SegformerConfig, SegformerForSemanticSegmentation
    c = SegformerConfig(hidden_sizes=[16, 32, 48, 64], decoder_hidden_size=64, num_attention_heads=[1, 2, 3, 4])
    return hf(SegformerForSemanticSegmentation(c), ["logits"]), ["x"], images([(1, 3, 128, 160), (2, 3, 96, 128)]), IMAGE


@model()
def dinov2():
    from transformers import Dinov2Config, Dinov2Model
    c = Dinov2Config(hidden_size=96, num_hidden_layers=3, num_attention_heads=4, image_size=140)
    return hf(Dinov2Model(c), ["last_hidden_state", "pooler_output"]), ["x"], images([(1, 3, 140, 168), (2, 3, 112, 140)]), IMAGE


@model()
def depth_anything():
    from transformers import DepthAnythingConfig, DepthAnythingForDepthEstimation, Dinov2Config
    b = Dinov2Config(hidden_size=64, num_hidden_layers=4, num_attention_heads=4, image_size=140, out_features=["stage1", "stage2", "stage3", "stage4"], reshape_hidden_states=False)
    c = DepthAnythingConfig(backbone_config=b, reassemble_hidden_size=64, neck_hidden_sizes=[16, 32, 64, 64], fusion_hidden_size=32, head_hidden_size=16)
    return hf(DepthAnythingForDepthEstimation(c), ["predicted_depth"]), ["x"], images([(1, 3, 140, 168), (2, 3, 112, 140)]), IMAGE


@model()
def clip():
    from transformers import CLIPConfig, CLIPModel
    c = CLIPConfig(text_config=dict(hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4, vocab_size=500, bos_token_id=1, eos_token_id=2, pad_token_id=0),
                   vision_config=dict(hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4, image_size=64, patch_size=16), projection_dim=48)

    class M(nn.Module):
        def __init__(self):
            super().__init__()
            self.m = CLIPModel(c)

        def forward(self, ids, pixels, mask):
            o = self.m(input_ids=ids, pixel_values=pixels, attention_mask=mask)
            return o.logits_per_image, o.text_embeds, o.image_embeds
    def case(n, b, s):
        return torch.randint(3, 500, (n, s)), torch.randn(b, 3, 64, 64), torch.cat([torch.ones(n, s - 2, dtype=torch.long), torch.zeros(n, 2, dtype=torch.long)], 1)
    return M(), ["ids", "pixels", "mask"], [case(2, 3, 9), case(5, 1, 16)], {"ids": {0: "n", 1: "s"}, "pixels": {0: "b"}, "mask": {0: "n", 1: "s"}}


@model()
def sam_decoder():
    from transformers import SamConfig, SamModel
    c = SamConfig(vision_config=dict(hidden_size=32, output_channels=32, num_hidden_layers=1, num_attention_heads=2, image_size=128, patch_size=16, window_size=4, global_attn_indexes=[0], mlp_dim=64),
                  prompt_encoder_config=dict(hidden_size=32, image_size=128, patch_size=16), mask_decoder_config=dict(hidden_size=32, mlp_dim=64, num_attention_heads=4, iou_head_hidden_dim=32))

    class M(nn.Module):
        def __init__(self):
            super().__init__()
            self.m = SamModel(c)

        def forward(self, embeddings, points, labels):
            o = self.m(image_embeddings=embeddings, input_points=points, input_labels=labels, multimask_output=True)
            return o.pred_masks, o.iou_scores
    def case(n):
        return torch.randn(1, 32, 8, 8), torch.rand(1, 1, n, 2) * 128, torch.randint(0, 2, (1, 1, n))
    return M(), ["embeddings", "points", "labels"], [case(3), case(5)], {"points": {2: "p"}, "labels": {2: "p"}}


@model()
def sam_encoder():
    from transformers import SamVisionConfig
    from transformers.models.sam.modeling_sam import SamVisionEncoder
    c = SamVisionConfig(hidden_size=64, output_channels=32, num_hidden_layers=2, num_attention_heads=2, image_size=224, patch_size=16, window_size=5, global_attn_indexes=[1], mlp_dim=64)
    return hf(SamVisionEncoder(c), ["last_hidden_state"]), ["x"], images([(1, 3, 224, 224), (2, 3, 224, 224)]), NCHW


@model()
def swin2sr():
    from transformers import Swin2SRConfig, Swin2SRForImageSuperResolution
    c = Swin2SRConfig(embed_dim=48, depths=[2, 2], num_heads=[4, 4], window_size=8, upscale=2, image_size=32)
    return hf(Swin2SRForImageSuperResolution(c), ["reconstruction"]), ["x"], images([(1, 3, 40, 48), (1, 3, 32, 56)]), IMAGE


@model("dynamo18 ts11 ts17")
def espcn():
    m = nn.Sequential(nn.Conv2d(1, 64, 5, padding=2), nn.Tanh(), nn.Conv2d(64, 32, 3, padding=1), nn.Tanh(), nn.Conv2d(32, 9, 3, padding=1), nn.PixelShuffle(3))
    return m, ["x"], images([(1, 1, 64, 80), (2, 1, 33, 47)]), IMAGE


@model("dynamo18 ts17")
def maskformer():
    from transformers import MaskFormerConfig, MaskFormerForInstanceSegmentation, SwinConfig, DetrConfig
    c = MaskFormerConfig(fpn_feature_size=32, mask_feature_size=32, backbone_config=SwinConfig(embed_dim=16, depths=[1, 1, 1, 1], num_heads=[1, 2, 2, 4], window_size=4, out_features=["stage1", "stage2", "stage3", "stage4"]),
                         decoder_config=DetrConfig(d_model=32, encoder_layers=1, decoder_layers=2, decoder_attention_heads=2, decoder_ffn_dim=64, encoder_attention_heads=2, encoder_ffn_dim=64, num_queries=10, use_timm_backbone=False, use_pretrained_backbone=False, backbone=None, backbone_config=SwinConfig()))
    return hf(MaskFormerForInstanceSegmentation(c), ["class_queries_logits", "masks_queries_logits"]), ["x"], images([(1, 3, 128, 160), (2, 3, 128, 96)]), IMAGE


@model()
def upernet():
    from transformers import ConvNextConfig, UperNetConfig, UperNetForSemanticSegmentation
    c = UperNetConfig(backbone_config=ConvNextConfig(hidden_sizes=[16, 32, 48, 64], depths=[1, 1, 2, 1], out_features=["stage1", "stage2", "stage3", "stage4"]), hidden_size=32, auxiliary_in_channels=48, num_labels=7, auxiliary_channels=16, pool_scales=[1, 2, 3, 6])
    return hf(UperNetForSemanticSegmentation(c), ["logits"]), ["x"], images([(1, 3, 128, 160), (2, 3, 96, 128)]), IMAGE


@model()
def unet():
    class Block(nn.Sequential):
        def __init__(self, i, o):
            super().__init__(nn.Conv2d(i, o, 3, padding=1, bias=False), nn.BatchNorm2d(o), nn.ReLU(), nn.Conv2d(o, o, 3, padding=1), nn.InstanceNorm2d(o, affine=True), nn.LeakyReLU(0.1))

    class UNet(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.c = Block(3, 16), Block(16, 32), Block(32, 64)
            self.up1, self.up2 = nn.ConvTranspose2d(64, 32, 2, 2), nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)
            self.d, self.e, self.out = Block(64, 32), Block(48, 16), nn.Conv2d(16, 4, 1)

        def forward(self, x):
            a = self.a(x)
            b = self.b(nn.functional.max_pool2d(a, 2))
            c = self.c(nn.functional.max_pool2d(b, 2))
            u = self.up1(c)
            u = nn.functional.pad(u, [0, b.shape[3] - u.shape[3], 0, b.shape[2] - u.shape[2]])
            d = self.d(torch.cat([b, u], 1))
            u = nn.functional.interpolate(self.up2(d), size=a.shape[2:], mode="nearest")
            return self.out(self.e(torch.cat([a, u], 1))).softmax(1)
    return UNet(), ["x"], images([(1, 3, 100, 84), (2, 3, 66, 81)]), IMAGE


@model()
def vitpose():
    from transformers import VitPoseBackboneConfig, VitPoseConfig, VitPoseForPoseEstimation
    c = VitPoseConfig(backbone_config=VitPoseBackboneConfig(hidden_size=64, num_hidden_layers=2, num_attention_heads=4, image_size=[128, 96], out_indices=[2]), num_labels=9)
    return hf(VitPoseForPoseEstimation(c), ["heatmaps"]), ["x"], images([(1, 3, 128, 96), (3, 3, 128, 96)]), NCHW


@model("ts17 ts16 dynamo18")
def yolov8_like():
    """CSP blocks, SPPF, distribution focal head and boxes decoded in the graph."""
    def cv(i, o, k=1, s=1):
        return nn.Sequential(nn.Conv2d(i, o, k, s, k // 2, bias=False), nn.BatchNorm2d(o), nn.SiLU())

    class C2f(nn.Module):
        def __init__(self, i, o, n=1):
            super().__init__()
            self.a, self.h = cv(i, o), o // 2
            self.m = nn.ModuleList(nn.Sequential(cv(o // 2, o // 2, 3), cv(o // 2, o // 2, 3)) for _ in range(n))
            self.b = cv((2 + n) * (o // 2), o)

        def forward(self, x):
            y = list(self.a(x).chunk(2, 1))
            for m in self.m:
                y.append(y[-1] + m(y[-1]))
            return self.b(torch.cat(y, 1))

    class Yolo(nn.Module):
        def __init__(self, w=16, nc=8):
            super().__init__()
            self.s = nn.ModuleList([nn.Sequential(cv(3, w, 3, 2), cv(w, 2 * w, 3, 2), C2f(2 * w, 2 * w), cv(2 * w, 4 * w, 3, 2), C2f(4 * w, 4 * w, 2)), nn.Sequential(cv(4 * w, 8 * w, 3, 2), C2f(8 * w, 8 * w, 2)), nn.Sequential(cv(8 * w, 16 * w, 3, 2), C2f(16 * w, 16 * w))])
            self.sp, self.sq = cv(16 * w, 8 * w), cv(32 * w, 16 * w)
            self.p4, self.p3 = C2f(24 * w, 8 * w), C2f(12 * w, 4 * w)
            self.box = nn.ModuleList(nn.Sequential(cv(c, 64, 3), nn.Conv2d(64, 64, 1)) for c in (4 * w, 8 * w, 16 * w))
            self.cls = nn.ModuleList(nn.Sequential(cv(c, 32, 3), nn.Conv2d(32, nc, 1)) for c in (4 * w, 8 * w, 16 * w))
            self.nc = nc

        def forward(self, x):
            a = self.s[0](x)
            b = self.s[1](a)
            c = self.sp(self.s[2](b))
            p = [c]
            for _ in range(3):
                p.append(nn.functional.max_pool2d(p[-1], 5, 1, 2))
            c = self.sq(torch.cat(p, 1))
            p4 = self.p4(torch.cat([nn.functional.interpolate(c, scale_factor=2.0), b], 1))
            p3 = self.p3(torch.cat([nn.functional.interpolate(p4, scale_factor=2.0), a], 1))
            f = [p3, p4, c]
            anchors, strides = [], []
            for t, s in zip(f, (8, 16, 32)):
                h, w = t.shape[2:]
                gy, gx = torch.meshgrid(torch.arange(h) + 0.5, torch.arange(w) + 0.5, indexing="ij")
                anchors.append(torch.stack((gx, gy), -1).view(-1, 2))
                strides.append(torch.full((h * w, 1), float(s)))
            anchors, strides = torch.cat(anchors).transpose(0, 1), torch.cat(strides).transpose(0, 1)
            y = torch.cat([torch.cat([m(t), k(t)], 1).view(x.shape[0], 64 + self.nc, -1) for m, k, t in zip(self.box, self.cls, f)], 2)
            box, cls = y.split((64, self.nc), 1)
            n, _, k = box.shape
            d = (box.view(n, 4, 16, k).transpose(2, 1).softmax(1) * torch.arange(16.0).view(1, 16, 1, 1)).sum(1)
            lt, rb = d.chunk(2, 1)
            a, b = anchors.unsqueeze(0) - lt, anchors.unsqueeze(0) + rb
            return torch.cat([torch.cat([(a + b) / 2, b - a], 1) * strides, cls.sigmoid()], 1)
    return Yolo(), ["x"], images([(1, 3, 128, 160), (2, 3, 192, 128)]), IMAGE
