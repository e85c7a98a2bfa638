"""Audio: encoders, recognisers, codecs, vocoders, spectrograms, recurrent stacks."""
import torch
from torch import nn

MODELS = {}
BOTH = "dynamo18 ts17"
WAVE = {"x": {0: "n", 1: "t"}}


def model(exporters=BOTH):
    def add(f):
        MODELS[f.__name__] = (f, exporters)
        return f
    return add


class Call(nn.Module):
    """One tensor in; what `f` takes of the module's output."""
    def __init__(self, m, f):
        super().__init__()
        self.m, self.f = m, f

    def forward(self, x):
        return self.f(self.m(x))


def waves(*sizes):
    return [(torch.randn(s) * 0.3,) for s in sizes]


SPEECH = dict(hidden_size=64, num_hidden_layers=2, num_attention_heads=4, intermediate_size=128, conv_dim=(32,) * 7, vocab_size=32, num_conv_pos_embeddings=16, num_conv_pos_embedding_groups=4)


def speech(name, config, cls, **options):
    def build():
        import transformers
        m = getattr(transformers, cls)(getattr(transformers, config)(**(SPEECH | options)))
        return Call(m, lambda o: o[0]), ["x"], waves((2, 8000), (1, 12345)), WAVE
    MODELS[name] = (build, BOTH)


speech("wav2vec2", "Wav2Vec2Config", "Wav2Vec2ForCTC")
speech("wav2vec2_layernorm", "Wav2Vec2Config", "Wav2Vec2ForCTC", feat_extract_norm="layer", do_stable_layer_norm=True)
speech("hubert", "HubertConfig", "HubertModel")
speech("wavlm", "WavLMConfig", "WavLMModel", num_buckets=32, max_bucket_distance=80)
speech("sew", "SEWConfig", "SEWModel", conv_dim=(32,) * 13)
speech("unispeech_sat", "UniSpeechSatConfig", "UniSpeechSatModel")
speech("data2vec_audio", "Data2VecAudioConfig", "Data2VecAudioModel", conv_pos_kernel_size=9)
speech("wav2vec2_conformer", "Wav2Vec2ConformerConfig", "Wav2Vec2ConformerModel")

WHISPER = dict(d_model=64, encoder_layers=2, decoder_layers=2, encoder_attention_heads=4, decoder_attention_heads=4, encoder_ffn_dim=128, decoder_ffn_dim=128, vocab_size=300, max_source_positions=150, max_target_positions=64, num_mel_bins=20, pad_token_id=0,
               bos_token_id=1, eos_token_id=2, decoder_start_token_id=1)


@model()
def whisper_encoder():
    from transformers import WhisperConfig
    from transformers.models.whisper.modeling_whisper import WhisperEncoder
    return Call(WhisperEncoder(WhisperConfig(**WHISPER)), lambda o: o[0]), ["x"], waves((1, 20, 300), (3, 20, 300)), {"x": {0: "n"}}


@model()
def whisper_decoder():
    from transformers import DynamicCache, EncoderDecoderCache, WhisperConfig, WhisperForConditionalGeneration
    m = WhisperForConditionalGeneration(WhisperConfig(**WHISPER))

    class Decoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.d, self.out = m.model.decoder, m.proj_out

        def forward(self, input_ids, encoder, k0, v0, k1, v1):
            cache = EncoderDecoderCache(DynamicCache.from_legacy_cache([(k0, v0), (k1, v1)]), DynamicCache())
            o = self.d(input_ids=input_ids, encoder_hidden_states=encoder, past_key_values=cache, use_cache=True)
            kept = o.past_key_values.self_attention_cache.to_legacy_cache()
            return self.out(o.last_hidden_state), *[t for pair in kept for t in pair]

    def case(n, s, p):
        return (torch.randint(0, 300, (n, s)), torch.randn(n, 150, 64), *[torch.randn(n, 4, p, 16) for _ in range(4)])
    axes = {"input_ids": {0: "n", 1: "s"}, "encoder": {0: "n"}} | {k: {0: "n", 2: "p"} for k in ("k0", "v0", "k1", "v1")}
    return Decoder(), ["input_ids", "encoder", "k0", "v0", "k1", "v1"], [case(2, 3, 5), case(1, 1, 9)], axes


@model()
def ast():
    from transformers import ASTConfig, ASTForAudioClassification
    m = ASTForAudioClassification(ASTConfig(hidden_size=64, num_hidden_layers=2, num_attention_heads=4, intermediate_size=128, max_length=128, num_mel_bins=64))
    return Call(m, lambda o: o[0]), ["x"], waves((1, 128, 64), (3, 128, 64)), {"x": {0: "n"}}


@model()
def clap_audio():
    from transformers import ClapAudioConfig, ClapAudioModel
    m = ClapAudioModel(ClapAudioConfig(window_size=4, num_mel_bins=32, spec_size=128, hidden_size=128, patch_embeds_hidden_size=16, depths=[1, 1, 1, 1], num_attention_heads=[1, 2, 2, 4]))
    return Call(m, lambda o: o[0]), ["x"], waves((1, 1, 300, 32), (2, 1, 300, 32)), {"x": {0: "n"}}


@model()
def conformer():
    from torchaudio.models import Conformer

    class M(nn.Module):
        def __init__(self):
            super().__init__()
            self.m = Conformer(input_dim=40, num_heads=4, ffn_dim=64, num_layers=2, depthwise_conv_kernel_size=15)

        def forward(self, x, lengths):
            return self.m(x, lengths)[0]
    return M(), ["x", "lengths"], [(torch.randn(2, 50, 40), torch.tensor([50, 31])), (torch.randn(3, 33, 40), torch.tensor([20, 33, 3]))], {"x": {0: "n", 1: "t"}, "lengths": {0: "n"}}


@model()
def emformer():
    from torchaudio.models import Emformer

    class M(nn.Module):
        def __init__(self):
            super().__init__()
            self.m = Emformer(40, 4, 64, 2, 4, right_context_length=1)

        def forward(self, x, lengths):
            return self.m(x, lengths)[0]
    return M(), ["x", "lengths"], [(torch.randn(2, 13, 40), torch.tensor([13, 9])), (torch.randn(3, 13, 40), torch.tensor([8, 13, 3]))], {"x": {0: "n"}, "lengths": {0: "n"}}


@model()
def deepspeech():
    from torchaudio.models import DeepSpeech
    return DeepSpeech(40, 64, 30), ["x"], waves((2, 1, 30, 40), (1, 1, 44, 40)), {"x": {0: "n", 2: "t"}}


@model()
def wav2letter():
    from torchaudio.models import Wav2Letter
    return Wav2Letter(num_classes=30, input_type="mfcc", num_features=13), ["x"], waves((2, 13, 60), (1, 13, 99)), {"x": {0: "n", 2: "t"}}


@model()
def conv_tasnet():
    from torchaudio.models import ConvTasNet
    m = ConvTasNet(num_sources=2, enc_num_feats=64, msk_num_feats=32, msk_num_hidden_feats=64, msk_num_layers=4, msk_num_stacks=2)
    return m, ["x"], waves((1, 1, 4000), (2, 1, 5600)), {"x": {0: "n", 2: "t"}}


@model()
def hdemucs():
    from torchaudio.models import HDemucs
    m = HDemucs(sources=["a", "b"], channels=8, depth=4, nfft=256)
    return m, ["x"], waves((1, 2, 8000)), {"x": {0: "n"}}


@model()
def encodec():
    from transformers import EncodecConfig, EncodecModel
    m = EncodecModel(EncodecConfig(num_filters=8, hidden_size=32, codebook_size=64, upsampling_ratios=[4, 4, 2, 2], num_lstm_layers=1))

    class M(nn.Module):
        def __init__(self):
            super().__init__()
            self.m = m

        def forward(self, x):
            z = self.m.encoder(x)
            codes = self.m.quantizer.encode(z, 6.0)
            return codes, self.m.decoder(self.m.quantizer.decode(codes))
    return M(), ["x"], waves((1, 1, 6400), (2, 1, 9600)), {"x": {0: "n", 2: "t"}}


@model()
def dac():
    from transformers import DacConfig, DacModel
    m = DacModel(DacConfig(encoder_hidden_size=8, downsampling_ratios=[2, 4, 4], decoder_hidden_size=64, n_codebooks=3, codebook_size=64, codebook_dim=8, upsampling_ratios=[4, 4, 2]))
    return Call(m, lambda o: (o.audio_codes, o.audio_values)), ["x"], waves((1, 1, 6400), (2, 1, 9600)), {"x": {0: "n", 2: "t"}}


@model()
def mimi_rvq():
    from transformers import MimiConfig, MimiModel
    m = MimiModel(MimiConfig(num_filters=8, hidden_size=64, num_hidden_layers=2, num_attention_heads=4, intermediate_size=128, codebook_size=64, num_quantizers=4, upsampling_ratios=[4, 4, 2, 2], vector_quantization_hidden_dimension=32, codebook_dim=32, head_dim=16, num_key_value_heads=4, upsample_groups=64))

    class M(nn.Module):
        def __init__(self):
            super().__init__()
            self.m = m

        def forward(self, x):
            return self.m.encode(x, return_dict=True).audio_codes
    return M(), ["x"], waves((1, 1, 6400), (2, 1, 9600)), {"x": {0: "n", 2: "t"}}


@model()
def speecht5_hifigan():
    from transformers import SpeechT5HifiGan, SpeechT5HifiGanConfig
    m = SpeechT5HifiGan(SpeechT5HifiGanConfig(model_in_dim=20, upsample_initial_channel=64, upsample_rates=[4, 4, 4], upsample_kernel_sizes=[8, 8, 8], normalize_before=False))
    return m, ["x"], waves((2, 30, 20), (1, 77, 20)), {"x": {0: "n", 1: "t"}}


@model("ts17 dynamo18")
def vits():
    from transformers import VitsConfig, VitsModel
    m = VitsModel(VitsConfig(hidden_size=32, num_hidden_layers=2, num_attention_heads=2, ffn_dim=64, flow_size=32, spectrogram_bins=65, upsample_initial_channel=32, upsample_rates=[4, 4], upsample_kernel_sizes=[8, 8], prior_encoder_num_flows=2,
                             posterior_encoder_num_wavenet_layers=2, prior_encoder_num_wavenet_layers=2, depth_separable_channels=2, depth_separable_num_layers=2, wavenet_dilation_rate=1, duration_predictor_num_flows=2, noise_scale=0.0, noise_scale_duration=0.0))

    class M(nn.Module):
        def __init__(self):
            super().__init__()
            self.m = m
            m.noise_scale = m.noise_scale_duration = 0.0

        def forward(self, ids, mask):
            return self.m(input_ids=ids, attention_mask=mask).waveform

    def case(n, s):
        return torch.randint(0, 38, (n, s)), torch.ones(n, s, dtype=torch.long)
    return M(), ["ids", "mask"], [case(1, 9), case(2, 14)], {"ids": {0: "n", 1: "s"}, "mask": {0: "n", 1: "s"}}


@model("ts17 dynamo18")
def fastspeech2():
    from transformers import FastSpeech2ConformerConfig, FastSpeech2ConformerModel
    m = FastSpeech2ConformerModel(FastSpeech2ConformerConfig(hidden_size=32, vocab_size=40, num_mel_bins=20, encoder_num_attention_heads=2, encoder_layers=1, encoder_linear_units=64, decoder_layers=1, decoder_num_attention_heads=2, decoder_linear_units=64,
                                                              speech_decoder_postnet_layers=2, speech_decoder_postnet_units=32, duration_predictor_channels=32, energy_predictor_channels=32, pitch_predictor_channels=32))

    class M(nn.Module):
        def __init__(self):
            super().__init__()
            self.m = m

        def forward(self, ids):
            return self.m(input_ids=ids, return_dict=True).spectrogram
    return M(), ["ids"], [(torch.randint(1, 40, (1, 9)),), (torch.randint(1, 40, (1, 15)),)], {"ids": {1: "s"}}


@model()
def speecht5():
    from transformers import SpeechT5Config, SpeechT5ForSpeechToText
    m = SpeechT5ForSpeechToText(SpeechT5Config(hidden_size=64, encoder_layers=2, decoder_layers=2, encoder_attention_heads=4, decoder_attention_heads=4, encoder_ffn_dim=128, decoder_ffn_dim=128, vocab_size=40, conv_dim=(32,) * 7, num_conv_pos_embeddings=16, num_conv_pos_embedding_groups=4))

    class M(nn.Module):
        def __init__(self):
            super().__init__()
            self.m = m

        def forward(self, x, ids):
            return self.m(input_values=x, decoder_input_ids=ids, use_cache=False).logits
    return M(), ["x", "ids"], [(torch.randn(1, 8000), torch.randint(0, 40, (1, 4))), (torch.randn(2, 9000), torch.randint(0, 40, (2, 7)))], {"x": {0: "n", 1: "t"}, "ids": {0: "n", 1: "s"}}


@model("ts17")
def rnnt():
    """A streaming transducer's parts in one graph: LSTM encoder with states, LSTM predictor, joiner."""
    class M(nn.Module):
        def __init__(self):
            super().__init__()
            self.enc, self.emb, self.pred = nn.LSTM(40, 64, 2, batch_first=True), nn.Embedding(30, 32), nn.LSTM(32, 64, batch_first=True)
            self.norm, self.join, self.out = nn.LayerNorm(64), nn.Linear(64, 64), nn.Linear(64, 30)

        def forward(self, x, tokens, h, c):
            e, (h, c) = self.enc(x, (h, c))
            p, _ = self.pred(self.emb(tokens))
            return self.out(torch.tanh(self.join(self.norm(e)).unsqueeze(2) + p.unsqueeze(1))).log_softmax(-1), h, c

    def case(n, t, u):
        return torch.randn(n, t, 40), torch.randint(0, 30, (n, u)), torch.randn(2, n, 64), torch.randn(2, n, 64)
    return M(), ["x", "tokens", "h", "c"], [case(2, 20, 5), case(1, 9, 3)], {"x": {0: "n", 1: "t"}, "tokens": {0: "n", 1: "u"}, "h": {1: "n"}, "c": {1: "n"}}


@model()
def mel_spectrogram():
    import torchaudio
    m = nn.Sequential(torchaudio.transforms.MelSpectrogram(16000, n_fft=400, hop_length=160, n_mels=40), torchaudio.transforms.AmplitudeToDB())
    return m, ["x"], waves((2, 8000), (1, 12345)), WAVE


@model()
def stft_features():
    class M(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("w", torch.hann_window(256))

        def forward(self, x):
            s = torch.stft(x, 256, 64, window=self.w, center=True, pad_mode="reflect", return_complex=False)
            power = s.pow(2).sum(-1)
            return torch.log(power + 1e-6), torch.atan2(s[..., 1], s[..., 0])
    return M(), ["x"], waves((2, 4096), (1, 6000)), WAVE


@model()
def istft_vocoder():
    class M(nn.Module):
        def __init__(self):
            super().__init__()
            self.c = nn.Conv1d(20, 130, 7, padding=3)
            self.register_buffer("w", torch.hann_window(128))

        def forward(self, x):
            a, p = self.c(x).chunk(2, 1)
            return torch.istft(torch.exp(a) * torch.complex(torch.cos(p), torch.sin(p)), 128, 32, window=self.w, center=True)
    return M(), ["x"], waves((1, 20, 40), (2, 20, 25)), {"x": {0: "n", 2: "t"}}


@model()
def pyannote_like():
    class M(nn.Module):
        def __init__(self):
            super().__init__()
            self.n, self.c1, self.c2 = nn.InstanceNorm1d(1, affine=True), nn.Conv1d(1, 40, 251, 10), nn.Conv1d(40, 30, 5)
            self.p, self.l, self.o = nn.MaxPool1d(3, 3), nn.LSTM(30, 32, 2, bidirectional=True, batch_first=True), nn.Linear(64, 7)

        def forward(self, x):
            x = self.p(torch.abs(self.c1(self.n(x))))
            x = self.p(torch.nn.functional.leaky_relu(self.c2(x))).transpose(1, 2)
            return self.o(self.l(x)[0]).log_softmax(-1)
    return M(), ["x"], waves((2, 1, 4000), (1, 1, 5000)), {"x": {0: "n", 2: "t"}}


@model()
def silero_like():
    """Voice activity: convolutional STFT, convolutions, one LSTM step with states."""
    class M(nn.Module):
        def __init__(self):
            super().__init__()
            self.s, self.c, self.r, self.o = nn.Conv1d(1, 258, 256, 128, bias=False), nn.Sequential(nn.Conv1d(129, 32, 3, padding=1), nn.ReLU(), nn.Conv1d(32, 32, 3, 2, 1), nn.ReLU()), nn.LSTMCell(32, 32), nn.Conv1d(32, 1, 1)

        def forward(self, x, h, c):
            s = self.s(torch.nn.functional.pad(x, (0, 64), "reflect").unsqueeze(1))
            m = torch.sqrt(s[:, :129] ** 2 + s[:, 129:] ** 2)
            h, c = self.r(self.c(m).mean(-1), (h, c))
            return torch.sigmoid(self.o(torch.relu(h).unsqueeze(-1))).squeeze(-1), h, c
    return M(), ["x", "h", "c"], [(torch.randn(2, 512), torch.randn(2, 32), torch.randn(2, 32)), (torch.randn(1, 768), torch.randn(1, 32), torch.randn(1, 32))], {"x": {0: "n", 1: "t"}, "h": {0: "n"}, "c": {0: "n"}}
