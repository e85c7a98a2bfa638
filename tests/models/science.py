"""Graph networks, operators on functions, recurrent nets, generative models, geometry, quantised and half precision models."""
import torch
import torch.nn.functional as F
from torch import nn

MODELS = {}
BOTH = "dynamo18 ts17"


def model(exporters=BOTH):
    def add(f):
        MODELS[f.__name__] = (f, exporters)
        return f
    return add


def graphs(*sizes, width=16):
    out = []
    for n, e in sizes:
        out.append((torch.randn(n, width), torch.randint(0, n, (2, e))))
    return out


EDGES = {"x": {0: "nodes"}, "edges": {1: "edges"}}


@model("dynamo18 ts16 ts17")
def gcn():
    class Gcn(nn.Module):
        def __init__(self):
            super().__init__()
            self.l = nn.ModuleList([nn.Linear(16, 32), nn.Linear(32, 32), nn.Linear(32, 4)])

        def forward(self, x, edges):
            loops = torch.arange(x.shape[0], device=x.device)
            s, d = torch.cat([edges[0], loops]), torch.cat([edges[1], loops])
            deg = torch.zeros(x.shape[0]).index_add(0, d, torch.ones_like(d, dtype=torch.float32))
            w = deg.rsqrt()
            w = torch.where(torch.isinf(w), torch.zeros_like(w), w)
            w = (w[s] * w[d]).unsqueeze(1)
            for i, lin in enumerate(self.l):
                h = lin(x)
                x = torch.zeros(x.shape[0], h.shape[1]).index_add(0, d, h[s] * w)
                x = torch.relu(x) if i < 2 else x
            return x.log_softmax(-1)
    return Gcn(), ["x", "edges"], graphs((20, 60), (33, 200), (5, 0)), EDGES


@model("dynamo18 ts17")
def gat():
    class Gat(nn.Module):
        def __init__(self, heads=4, width=8):
            super().__init__()
            self.l, self.a, self.b, self.h, self.w = nn.Linear(16, heads * width), nn.Parameter(torch.randn(heads, width)), nn.Parameter(torch.randn(heads, width)), heads, width

        def forward(self, x, edges):
            n = x.shape[0]
            h = self.l(x).view(n, self.h, self.w)
            s, d = edges[0], edges[1]
            e = F.leaky_relu((h * self.a).sum(-1)[s] + (h * self.b).sum(-1)[d], 0.2)
            index = d.unsqueeze(1).expand(-1, self.h)
            top = torch.full((n, self.h), -1e9).scatter_reduce(0, index, e, "amax")
            e = torch.exp(e - top[d])
            total = torch.zeros(n, self.h).scatter_add(0, index, e)
            a = e / (total[d] + 1e-16)
            out = torch.zeros(n, self.h, self.w).scatter_add(0, d.view(-1, 1, 1).expand(-1, self.h, self.w), h[s] * a.unsqueeze(-1))
            return F.elu(out.reshape(n, -1))
    return Gat(), ["x", "edges"], graphs((20, 60), (33, 200)), EDGES


@model("dynamo18 ts17")
def gin_pool():
    class Gin(nn.Module):
        def __init__(self):
            super().__init__()
            self.m = nn.ModuleList(nn.Sequential(nn.Linear(16, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 16)) for _ in range(3))
            self.eps, self.o = nn.Parameter(torch.tensor(0.1)), nn.Linear(16, 3)

        def forward(self, x, edges, batch):
            for m in self.m:
                x = torch.relu(m((1 + self.eps) * x + torch.zeros_like(x).index_add(0, edges[1], x[edges[0]])))
            n = batch.max() + 1
            pooled = torch.zeros(8, 16).index_add(0, batch, x)
            count = torch.zeros(8).index_add(0, batch, torch.ones_like(batch, dtype=x.dtype)).clamp(min=1)
            top = torch.full((8, 16), float("-inf")).scatter_reduce(0, batch.unsqueeze(1).expand(-1, 16), x, "amax", include_self=True)
            return self.o(pooled / count.unsqueeze(1)), top, n
    cases = [(x, e, torch.randint(0, 8, (x.shape[0],))) for x, e in graphs((20, 60), (33, 200))]
    return Gin(), ["x", "edges", "batch"], cases, EDGES | {"batch": {0: "nodes"}}


@model("dynamo18 ts17")
def egnn():
    class Egnn(nn.Module):
        def __init__(self):
            super().__init__()
            self.e, self.c, self.n = nn.Sequential(nn.Linear(33, 32), nn.SiLU(), nn.Linear(32, 16), nn.SiLU()), nn.Sequential(nn.Linear(16, 1), nn.Tanh()), nn.Linear(32, 16)

        def forward(self, x, edges, p):
            s, d = edges[0], edges[1]
            r = p[s] - p[d]
            m = self.e(torch.cat([x[s], x[d], (r * r).sum(-1, keepdim=True)], -1))
            p = p + torch.zeros_like(p).scatter_reduce(0, d.unsqueeze(1).expand(-1, 3), r * self.c(m), "mean", include_self=False)
            x = x + self.n(torch.cat([x, torch.zeros(x.shape[0], 16).index_add(0, d, m)], -1))
            return x, p
    cases = [(x, e, torch.randn(x.shape[0], 3)) for x, e in graphs((20, 60), (33, 200))]
    return Egnn(), ["x", "edges", "p"], cases, EDGES | {"p": {0: "nodes"}}


@model("dynamo18 ts17")
def schnet_dense():
    class Schnet(nn.Module):
        def __init__(self):
            super().__init__()
            self.e, self.f, self.o = nn.Embedding(10, 32), nn.Sequential(nn.Linear(20, 32), nn.Softplus(), nn.Linear(32, 32)), nn.Linear(32, 1)
            self.register_buffer("mu", torch.linspace(0, 5, 20))

        def forward(self, z, p):
            d = torch.cdist(p, p)
            g = torch.exp(-10 * (d.unsqueeze(-1) - self.mu) ** 2)
            cut = 0.5 * (torch.cos(d * 0.6) + 1) * (d < 5) * (1 - torch.eye(p.shape[1]))
            h = self.e(z)
            for _ in range(2):
                h = h + torch.einsum("bijf,bjf->bif", self.f(g) * cut.unsqueeze(-1), h)
            return self.o(h).sum((1, 2))
    return Schnet(), ["z", "p"], [(torch.randint(0, 10, (2, 7)), torch.randn(2, 7, 3)), (torch.randint(0, 10, (1, 11)), torch.randn(1, 11, 3))], {"z": {0: "n", 1: "a"}, "p": {0: "n", 1: "a"}}


@model("dynamo18 dynamo20")
def fno2d():
    class Spectral(nn.Module):
        def __init__(self, c=12, k=6):
            super().__init__()
            self.w, self.k = nn.Parameter(torch.randn(c, c, k, k, 2) / c), k

        def forward(self, x):
            f = torch.fft.rfft2(x)
            w = torch.view_as_complex(self.w)
            low = torch.einsum("bixy,ioxy->boxy", f[:, :, :self.k, :self.k], w)
            out = F.pad(torch.view_as_real(low), (0, 0, 0, f.shape[3] - self.k, 0, f.shape[2] - self.k))
            return torch.fft.irfft2(torch.view_as_complex(out), s=x.shape[-2:])

    class Fno(nn.Module):
        def __init__(self):
            super().__init__()
            self.i, self.s, self.c, self.o = nn.Conv2d(3, 12, 1), nn.ModuleList(Spectral() for _ in range(2)), nn.ModuleList(nn.Conv2d(12, 12, 1) for _ in range(2)), nn.Conv2d(12, 1, 1)

        def forward(self, x):
            x = self.i(x)
            for s, c in zip(self.s, self.c):
                x = F.gelu(s(x) + c(x))
            return self.o(x)
    return Fno(), ["x"], [(torch.randn(1, 3, 32, 32),), (torch.randn(3, 3, 32, 32),)], {"x": {0: "n"}}


@model()
def siren_nerf():
    class M(nn.Module):
        def __init__(self):
            super().__init__()
            self.l = nn.ModuleList([nn.Linear(3 + 36, 64), nn.Linear(64, 64)])
            self.s, self.c = nn.Linear(64, 1), nn.Linear(64 + 27, 3)
            self.register_buffer("f", 2.0 ** torch.arange(6))

        def encode(self, x, n):
            y = (x.unsqueeze(-1) * self.f[:n]).flatten(-2)
            return torch.cat([x, y.sin(), y.cos()], -1)

        def forward(self, p, d):
            h = self.encode(p, 6)
            for layer in self.l:
                h = torch.sin(30 * 0.05 * layer(h))
            sigma = F.softplus(self.s(h)).squeeze(-1)
            view = self.encode(F.normalize(d, dim=-1), 4).unsqueeze(1).expand(-1, p.shape[1], -1)
            rgb = torch.sigmoid(self.c(torch.cat([h, view], -1)))
            a = 1 - torch.exp(-sigma * 0.1)
            t = torch.cumprod(torch.cat([torch.ones_like(a[:, :1]), 1 - a + 1e-10], -1), -1)[:, :-1]
            return ((a * t).unsqueeze(-1) * rgb).sum(1)
    return M(), ["p", "d"], [(torch.rand(40, 16, 3), torch.randn(40, 3)), (torch.rand(7, 9, 3), torch.randn(7, 3))], {"p": {0: "rays", 1: "samples"}, "d": {0: "rays"}}


@model()
def deeponet():
    class M(nn.Module):
        def __init__(self):
            super().__init__()
            self.b, self.t = nn.Sequential(nn.Linear(50, 64), nn.GELU(), nn.Linear(64, 64)), nn.Sequential(nn.Linear(2, 64), nn.Tanh(), nn.Linear(64, 64))

        def forward(self, u, y):
            return torch.einsum("bp,bqp->bq", self.b(u), self.t(y))
    return M(), ["u", "y"], [(torch.randn(2, 50), torch.rand(2, 30, 2)), (torch.randn(5, 50), torch.rand(5, 7, 2))], {"u": {0: "n"}, "y": {0: "n", 1: "q"}}


@model("ts17 dynamo18")
def neural_ode():
    class M(nn.Module):
        def __init__(self):
            super().__init__()
            self.f = nn.Sequential(nn.Linear(5, 32), nn.Tanh(), nn.Linear(32, 4))

        def forward(self, y, t):
            h = (t[1] - t[0]) / 10
            for i in range(10):
                def g(y, s):
                    return self.f(torch.cat([y, s.expand(y.shape[0], 1)], 1))
                s = t[0] + i * h
                a = g(y, s)
                b = g(y + h / 2 * a, s + h / 2)
                c = g(y + h / 2 * b, s + h / 2)
                y = y + h / 6 * (a + 2 * b + 2 * c + g(y + h * c, s + h))
            return y
    return M(), ["y", "t"], [(torch.randn(6, 4), torch.tensor([0.0, 1.0])), (torch.randn(1, 4), torch.tensor([0.5, 0.7]))], {"y": {0: "n"}}


def recurrent(name, kind):
    def build():
        class M(nn.Module):
            def __init__(self):
                super().__init__()
                self.r, self.o = getattr(nn, kind)(12, 24, 2, bidirectional=True, batch_first=True), nn.Linear(48, 5)

            def forward(self, x, lengths):
                packed = nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=True)
                y, _ = nn.utils.rnn.pad_packed_sequence(self.r(packed)[0], batch_first=True)
                return self.o(y)
        return M(), ["x", "lengths"], [(torch.randn(3, 20, 12), torch.tensor([20, 13, 4])), (torch.randn(2, 8, 12), torch.tensor([8, 8]))], {"x": {0: "n", 1: "t"}, "lengths": {0: "n"}}
    MODELS[name] = (build, "ts9 ts17")

    def plain():
        class M(nn.Module):
            def __init__(self):
                super().__init__()
                self.r = getattr(nn, kind)(12, 24, 2, bidirectional=True)

            def forward(self, x):
                y, h = self.r(x)
                return y, (h[0] if isinstance(h, tuple) else h)
        return M(), ["x"], [(torch.randn(20, 3, 12),), (torch.randn(9, 1, 12),)], {"x": {0: "t", 1: "n"}}
    MODELS[name + "_plain"] = (plain, "ts9 ts17 dynamo18")


for name, kind in (("lstm", "LSTM"), ("gru", "GRU"), ("rnn_tanh", "RNN")):
    recurrent(name, kind)


@model()
def vae():
    class M(nn.Module):
        def __init__(self):
            super().__init__()
            self.e, self.m, self.s, self.i = nn.Sequential(nn.Conv2d(1, 16, 4, 2, 1), nn.ReLU(), nn.Conv2d(16, 32, 4, 2, 1), nn.ReLU(), nn.Flatten()), nn.Linear(1568, 8), nn.Linear(1568, 8), nn.Linear(8, 1568)
            self.d = nn.Sequential(nn.ConvTranspose2d(32, 16, 4, 2, 1), nn.ReLU(), nn.ConvTranspose2d(16, 1, 4, 2, 1), nn.Sigmoid())

        def forward(self, x, noise):
            h = self.e(x)
            m, s = self.m(h), self.s(h)
            z = m + torch.exp(0.5 * s) * noise
            return self.d(self.i(z).view(-1, 32, 7, 7)), m, s
    return M(), ["x", "noise"], [(torch.rand(2, 1, 28, 28), torch.randn(2, 8)), (torch.rand(5, 1, 28, 28), torch.randn(5, 8))], {"x": {0: "n"}, "noise": {0: "n"}}


@model()
def diffusion_unet():
    def norm(c):
        return nn.GroupNorm(8, c)

    class Res(nn.Module):
        def __init__(self, i, o):
            super().__init__()
            self.a, self.b, self.t, self.n1, self.n2 = nn.Conv2d(i, o, 3, padding=1), nn.Conv2d(o, o, 3, padding=1), nn.Linear(64, o), norm(i), norm(o)
            self.s = nn.Conv2d(i, o, 1) if i != o else nn.Identity()

        def forward(self, x, t):
            h = self.a(F.silu(self.n1(x))) + self.t(F.silu(t))[:, :, None, None]
            return self.s(x) + self.b(F.silu(self.n2(h)))

    class Attn(nn.Module):
        def __init__(self, c, text=None):
            super().__init__()
            self.n, self.q, self.k, self.v, self.o = norm(c), nn.Linear(c, c), nn.Linear(text or c, c), nn.Linear(text or c, c), nn.Linear(c, c)

        def forward(self, x, text=None):
            b, c, h, w = x.shape
            y = self.n(x).flatten(2).transpose(1, 2)
            z = y if text is None else text
            q, k, v = (m(t).view(b, -1, 4, c // 4).transpose(1, 2) for m, t in ((self.q, y), (self.k, z), (self.v, z)))
            y = self.o(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(b, h * w, c))
            return x + y.transpose(1, 2).reshape(b, c, h, w)

    class UNet(nn.Module):
        def __init__(self):
            super().__init__()
            self.t, self.i, self.o, self.n = nn.Sequential(nn.Linear(32, 64), nn.SiLU(), nn.Linear(64, 64)), nn.Conv2d(4, 32, 3, padding=1), nn.Conv2d(32, 4, 3, padding=1), norm(32)
            self.d1, self.d2, self.m, self.u2, self.u1 = Res(32, 32), Res(32, 64), Res(64, 64), Res(128, 32), Res(64, 32)
            self.a, self.x, self.down, self.up = Attn(64), Attn(64, 24), nn.Conv2d(32, 32, 3, 2, 1), nn.Conv2d(32, 32, 3, padding=1)

        def forward(self, x, t, text):
            f = torch.exp(-torch.arange(16) * 0.6)
            a = t[:, None].float() * f[None]
            t = self.t(torch.cat([a.sin(), a.cos()], -1))
            s1 = self.d1(self.i(x), t)
            s2 = self.d2(self.down(s1), t)
            m = self.x(self.a(self.m(s2, t)), text)
            u = self.u2(torch.cat([m, s2], 1), t)
            u = self.up(F.interpolate(u, scale_factor=2.0, mode="nearest"))
            return self.o(F.silu(self.n(self.u1(torch.cat([u, s1], 1), t))))
    def case(n, h, w, s):
        return torch.randn(n, 4, h, w), torch.randint(0, 1000, (n,)), torch.randn(n, s, 24)
    return UNet(), ["x", "t", "text"], [case(1, 16, 24, 7), case(2, 32, 16, 11)], {"x": {0: "n", 2: "h", 3: "w"}, "t": {0: "n"}, "text": {0: "n", 1: "s"}}


@model("ts16 ts17 dynamo18 dynamo20")
def spatial_transformer():
    class M(nn.Module):
        def __init__(self):
            super().__init__()
            self.l = nn.Sequential(nn.Conv2d(1, 8, 7), nn.MaxPool2d(2), nn.ReLU(), nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(128, 6))
            self.c = nn.Conv2d(1, 4, 3)

        def forward(self, x):
            theta = self.l(x).view(-1, 2, 3) * 0.3 + torch.tensor([[1.0, 0, 0], [0, 1, 0]])
            y = torch.arange(28) * (2 / 28) - 1 + 1 / 28
            g = torch.stack([y.view(1, -1).expand(28, -1), y.view(-1, 1).expand(-1, 28), torch.ones(28, 28)], -1)
            grid = torch.einsum("hwk,bik->bhwi", g, theta)
            a = F.grid_sample(x, grid, align_corners=False, padding_mode="border")
            return self.c(a), F.grid_sample(x, grid, mode="nearest", align_corners=True, padding_mode="reflection")
    return M(), ["x"], [(torch.rand(2, 1, 28, 28),), (torch.rand(5, 1, 28, 28),)], {"x": {0: "n"}}


@model("dynamo20")
def affine_grid():
    class M(nn.Module):
        def forward(self, x, theta):
            return F.grid_sample(x, F.affine_grid(theta, [2, 3, 20, 24], align_corners=False), align_corners=False)
    return M(), ["x", "theta"], [(torch.rand(2, 3, 30, 28), torch.randn(2, 2, 3))], {}


@model("dynamo19 ts19")
def deform_conv():
    import torchvision

    class M(nn.Module):
        def __init__(self):
            super().__init__()
            self.o, self.c = nn.Conv2d(8, 27, 3, padding=1), torchvision.ops.DeformConv2d(8, 16, 3, padding=1)

        def forward(self, x):
            o = self.o(x)
            return self.c(x, o[:, :18], torch.sigmoid(o[:, 18:]))
    return M(), ["x"], [(torch.randn(1, 8, 20, 24),), (torch.randn(2, 8, 15, 9),)], {"x": {0: "n", 2: "h", 3: "w"}}


@model()
def odd_ops():
    """Operators that exporters break into many nodes."""
    class M(nn.Module):
        def forward(self, x, y):
            v, i = torch.topk(x, 3, -1)
            w, j = torch.sort(x, -1, descending=True)
            b = torch.bucketize(x, torch.tensor([-1.0, 0.0, 1.0]))
            t = torch.tril(torch.ones(x.shape[-1], x.shape[-1])) @ x.transpose(-1, -2)
            u = F.unfold(y, 3, padding=1, stride=2)
            m = torch.masked_fill(x, x > 0.5, -1.0)
            r = torch.roll(y, (1, -2), (2, 3)).flip(3)
            z = torch.where(y > 0, y, y.exp()).cumsum(2)
            a = F.adaptive_avg_pool2d(y, (4, 4))
            p = F.pixel_unshuffle(y, 2)
            s = torch.std_mean(x, -1, keepdim=True)
            n = torch.linalg.vector_norm(y, dim=1)
            d = torch.logsumexp(x, -1), F.one_hot(i, 20), torch.remainder(x, 0.3), torch.fmod(x, 0.3), torch.floor_divide(x, 0.3)
            return v, i, w, j, b, t, u, m, r, z, a, p, s[0], s[1], n, *d
    return M(), ["x", "y"], [(torch.randn(3, 20), torch.randn(2, 3, 16, 20)), (torch.randn(7, 20), torch.randn(1, 3, 24, 8))], {"x": {0: "n"}, "y": {0: "b", 2: "h", 3: "w"}}


@model()
def dynamic_shapes():
    """Sizes that depend on the data."""
    class M(nn.Module):
        def forward(self, x, m):
            i = torch.nonzero(x > 0.3)
            p = x[m > 0]
            u, inv, cnt = torch.unique(m, return_inverse=True, return_counts=True)
            return i, p.cumsum(0), u, inv, cnt, x.repeat_interleave(2, 0), torch.arange(x.shape[0]) * 2
    return M(), ["x", "m"], [(torch.randn(9, 5), torch.randint(-2, 3, (9,))), (torch.randn(3, 5), torch.randint(-2, 3, (3,)))], {"x": {0: "n"}, "m": {0: "n"}}


@model()
def transformer_torch():
    m = nn.Transformer(64, 4, 2, 2, 128, batch_first=True)

    class M(nn.Module):
        def __init__(self):
            super().__init__()
            self.m = m

        def forward(self, s, t):
            return self.m(s, t, tgt_mask=nn.Transformer.generate_square_subsequent_mask(t.shape[1]))
    return M(), ["s", "t"], [(torch.randn(2, 9, 64), torch.randn(2, 6, 64)), (torch.randn(1, 20, 64), torch.randn(1, 11, 64))], {"s": {0: "n", 1: "s"}, "t": {0: "n", 1: "t"}}


@model()
def tcn_wavenet():
    class M(nn.Module):
        def __init__(self):
            super().__init__()
            self.i, self.o = nn.Conv1d(1, 16, 1), nn.Conv1d(16, 8, 1)
            self.d = nn.ModuleList(nn.utils.parametrizations.weight_norm(nn.Conv1d(16, 32, 2, dilation=2 ** k)) for k in range(6))

        def forward(self, x):
            x, out = self.i(x), 0
            for k, d in enumerate(self.d):
                a, b = d(F.pad(x, (2 ** k, 0))).chunk(2, 1)
                y = torch.tanh(a) * torch.sigmoid(b)
                x, out = x + y, out + y
            return self.o(F.relu(out)).softmax(1)
    return M(), ["x"], [(torch.randn(2, 1, 200),), (torch.randn(1, 1, 333),)], {"x": {0: "n", 2: "t"}}


@model()
def patchtst():
    from transformers import PatchTSTConfig, PatchTSTForPrediction
    m = PatchTSTForPrediction(PatchTSTConfig(context_length=64, patch_length=8, patch_stride=4, num_input_channels=3, prediction_length=16, d_model=32, num_attention_heads=4, num_hidden_layers=2, ffn_dim=64, num_output_channels=3))

    class M(nn.Module):
        def __init__(self):
            super().__init__()
            self.m = m

        def forward(self, x):
            return self.m(past_values=x).prediction_outputs
    return M(), ["x"], [(torch.randn(2, 64, 3),), (torch.randn(5, 64, 3),)], {"x": {0: "n"}}


@model()
def point_net():
    class M(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.o = nn.Sequential(nn.Conv1d(3, 32, 1), nn.BatchNorm1d(32), nn.ReLU()), nn.Sequential(nn.Conv1d(64, 64, 1), nn.ReLU()), nn.Linear(64, 10)

        def forward(self, p):
            d = torch.cdist(p, p)
            idx = d.topk(4, -1, largest=False)[1]
            f = self.a(p.transpose(1, 2)).transpose(1, 2)
            g = torch.gather(f.unsqueeze(1).expand(-1, p.shape[1], -1, -1), 2, idx.unsqueeze(-1).expand(-1, -1, -1, 32)).amax(2)
            return self.o(self.b(torch.cat([f, g], -1).transpose(1, 2)).amax(2))
    return M(), ["p"], [(torch.randn(2, 30, 3),), (torch.randn(1, 50, 3),)], {"p": {0: "n", 1: "p"}}


@model()
def conv3d_video():
    m = nn.Sequential(nn.Conv3d(3, 8, 3, (1, 2, 2), 1), nn.BatchNorm3d(8), nn.ReLU(), nn.MaxPool3d(2), nn.Conv3d(8, 16, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(16, 5))
    return m, ["x"], [(torch.randn(1, 3, 8, 32, 32),), (torch.randn(2, 3, 12, 40, 24),)], {"x": {0: "n", 2: "t", 3: "h", 4: "w"}}


# ---- half precision ----

def halved(name, dtype, exporters):
    def build():
        class M(nn.Module):
            def __init__(self):
                super().__init__()
                self.c, self.n, self.l = nn.Conv2d(3, 16, 3, 2, 1), nn.BatchNorm2d(16), nn.Linear(16, 32)
                self.t = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True, norm_first=True)

            def forward(self, x):
                x = torch.relu(self.n(self.c(x))).flatten(2).transpose(1, 2)
                return self.t(self.l(x)).mean(1).softmax(-1)
        return M().to(dtype), ["x"], [(torch.randn(1, 3, 16, 16).to(dtype),), (torch.randn(2, 3, 20, 12).to(dtype),)], {"x": {0: "n", 2: "h", 3: "w"}}
    MODELS[name] = (build, exporters)


halved("half_cnn_transformer", torch.float16, "ts17 dynamo18")
halved("double_cnn_transformer", torch.float64, "ts17 dynamo18")


@model("dynamo18 ts17")
def bf16_inside():
    class M(nn.Module):
        def __init__(self):
            super().__init__()
            self.l = nn.Sequential(nn.Linear(32, 64), nn.GELU(), nn.Linear(64, 32)).to(torch.bfloat16)

        def forward(self, x):
            return self.l(x.to(torch.bfloat16)).float()
    return M(), ["x"], [(torch.randn(3, 32),), (torch.randn(9, 32),)], {"x": {0: "n"}}


def converted(name, base, exporter):
    """A float model through onnxconverter_common's float16."""
    def build():
        import vision
        import text
        f = (vision.MODELS | text.MODELS | MODELS)[base][0]
        m, names, cases, axes = f()
        m.eval()

        def write(path, _):
            import onnx
            from onnxconverter_common import float16
            torch.onnx.export(m, cases[0], str(path), opset_version=17, input_names=names, dynamic_axes=axes, dynamo=False)
            onnx.save(float16.convert_float_to_float16(onnx.load(path), keep_io_types=True), path)
        return write, names, cases, axes
    MODELS[name] = (build, exporter)


converted("fp16_resnet18", "resnet18", "ts17")
converted("fp16_bert", "bert", "ts17")
converted("fp16_diffusion_unet", "diffusion_unet", "ts17")


# ---- quantised by ONNX Runtime's tools ----

def quantised(name, base, kind):
    def build():
        import text
        import vision
        m, names, cases, axes = (vision.MODELS | text.MODELS | MODELS)[base][0]()
        m.eval()

        def write(path, _):
            from onnxruntime import quantization as q
            plain = path.parent / "float.onnx"
            torch.onnx.export(m, cases[0], str(plain), opset_version=17, input_names=names, dynamic_axes=axes, dynamo=False)
            if kind == "dynamic":
                q.quantize_dynamic(plain, path)
            else:
                class Reader(q.CalibrationDataReader):
                    def __init__(self):
                        self.rest = [{n: v.numpy() for n, v in zip(names, c)} for c in cases[:1] * 2]

                    def get_next(self):
                        return self.rest.pop() if self.rest else None
                form = {"qdq": q.QuantFormat.QDQ, "qop": q.QuantFormat.QOperator}[kind[:3]]
                u8 = "u8" in kind
                q.quantize_static(plain, path, Reader(), quant_format=form, per_channel="pc" in kind, activation_type=q.QuantType.QUInt8 if u8 else q.QuantType.QInt8, weight_type=q.QuantType.QInt8)
            plain.unlink()
        return write, names, cases, axes
    MODELS[name] = (build, "ts17")


for kind in ("dynamic", "qdq_pc", "qop_u8"):
    quantised(f"{kind}_resnet18", "resnet18", kind)
    quantised(f"{kind}_mobilenet_v2", "mobilenet_v2", kind)
    quantised(f"{kind}_bert", "bert", kind)
    quantised(f"{kind}_unet", "unet", kind)
    quantised(f"{kind}_yolov8", "yolov8_like", kind)
quantised("dynamic_gru", "gru_plain", "dynamic")
quantised("dynamic_lstm", "lstm_plain", "dynamic")
quantised("dynamic_llama", "llama_cache", "dynamic")
quantised("qdq_segformer", "segformer", "qdq_u8")


@model("ts13 ts17")
def torch_ao_qat():
    """torch.ao's eager quantisation, exported with QuantizeLinear and DequantizeLinear."""
    import torch.ao.quantization as tq

    class M(nn.Module):
        def __init__(self):
            super().__init__()
            self.q, self.d = tq.QuantStub(), tq.DeQuantStub()
            self.c, self.r, self.c2, self.l = nn.Conv2d(3, 16, 3, 2, 1), nn.ReLU(), nn.Conv2d(16, 16, 3, padding=1, groups=16), nn.Linear(16, 5)
            self.add = torch.ao.nn.quantized.FloatFunctional()

        def forward(self, x):
            x = self.r(self.c(self.q(x)))
            x = self.add.add(x, self.r(self.c2(x)))
            return self.d(self.l(x.mean((2, 3))))
    m = M().eval()
    m.qconfig = tq.get_default_qconfig("fbgemm")
    tq.prepare(m, inplace=True)
    x = [torch.randn(2, 3, 32, 32), torch.randn(1, 3, 40, 24)]
    m(x[0])
    tq.convert(m, inplace=True)
    return m, ["x"], [(x[0],), (x[1],)], {"x": {0: "n", 2: "h", 3: "w"}}
