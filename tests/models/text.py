"""Text: encoders, decoders with and without a cache, encoder-decoders, state space models, mixtures of experts. Small widths, the true architectures."""
import torch
from torch import nn

MODELS = {}
BOTH = "dynamo18 ts17"


def ids(n, s, vocab=300):
    return torch.randint(5, vocab, (n, s))


def mask(n, s):
    m = torch.ones(n, s, dtype=torch.long)
    if n > 1:
        m[1, s - 3:] = 0
    return m


def transformers_class(name, config, options, cls):
    import transformers
    c = getattr(transformers, config)(**options)
    m = getattr(transformers, cls)(c)
    return m


def encoder(name, config, cls, exporters=BOTH, sizes=((2, 12), (1, 7), (3, 40)), **options):
    options = dict(hidden_size=64, num_hidden_layers=2, num_attention_heads=4, intermediate_size=128, vocab_size=300) | options

    def build():
        m = transformers_class(name, config, options, cls)

        class Encoder(nn.Module):
            def __init__(self):
                super().__init__()
                self.m = m

            def forward(self, input_ids, attention_mask):
                return self.m(input_ids=input_ids, attention_mask=attention_mask, return_dict=True)[0]
        return (Encoder(), ["input_ids", "attention_mask"], [(ids(*s), mask(*s)) for s in sizes],
                {"input_ids": {0: "n", 1: "s"}, "attention_mask": {0: "n", 1: "s"}})
    MODELS[name] = (build, exporters)


encoder("bert", "BertConfig", "BertModel", exporters="dynamo18 ts11 ts13 ts17")
encoder("bert_eager", "BertConfig", "BertForQuestionAnswering", attn_implementation="eager")
encoder("roberta", "RobertaConfig", "RobertaForTokenClassification", max_position_embeddings=130)
encoder("distilbert", "DistilBertConfig", "DistilBertForSequenceClassification", dim=64, hidden_dim=128, n_layers=2, n_heads=4)
encoder("albert", "AlbertConfig", "AlbertModel", embedding_size=32)
encoder("electra", "ElectraConfig", "ElectraForPreTraining", embedding_size=32)
encoder("deberta_v2", "DebertaV2Config", "DebertaV2Model", relative_attention=True, pos_att_type=["p2c", "c2p"], position_buckets=16, max_relative_positions=-1, norm_rel_ebd="layer_norm", share_att_key=True)
encoder("deberta", "DebertaConfig", "DebertaModel", relative_attention=True, pos_att_type=["p2c", "c2p"], max_relative_positions=64, type_vocab_size=0)
encoder("mpnet", "MPNetConfig", "MPNetModel")
encoder("modernbert", "ModernBertConfig", "ModernBertModel", reference_compile=False, pad_token_id=0, local_attention=8, attn_implementation="sdpa")
encoder("longformer", "LongformerConfig", "LongformerModel", exporters=BOTH, attention_window=8, sizes=((2, 16), (2, 32)), max_position_embeddings=130)
encoder("bigbird", "BigBirdConfig", "BigBirdModel", attention_type="original_full")
encoder("xlnet", "XLNetConfig", "XLNetModel", d_model=64, n_layer=2, n_head=4, d_inner=128)
encoder("funnel", "FunnelConfig", "FunnelModel", block_sizes=[1, 1], d_model=64, n_head=4, d_head=16, d_inner=128, num_decoder_layers=1)
encoder("squeezebert", "SqueezeBertConfig", "SqueezeBertModel", embedding_size=64)
encoder("convbert", "ConvBertConfig", "ConvBertModel", embedding_size=64)
encoder("nystromformer", "NystromformerConfig", "NystromformerModel", num_landmarks=4, segment_means_seq_len=12, sizes=((2, 12),))
encoder("fnet", "FNetConfig", "FNetModel", exporters="dynamo18")
encoder("mobilebert", "MobileBertConfig", "MobileBertModel", embedding_size=32, intra_bottleneck_size=32)
encoder("reformer", "ReformerConfig", "ReformerModel", exporters=BOTH, attention_head_size=16, feed_forward_size=128, attn_layers=["local", "local"], axial_pos_shape=(4, 8), axial_pos_embds_dim=(32, 32), local_attn_chunk_length=8, is_decoder=False, sizes=((2, 32),))
encoder("roformer", "RoFormerConfig", "RoFormerModel", embedding_size=64)
encoder("canine", "CanineConfig", "CanineModel", sizes=((2, 64), (1, 48)), local_transformer_stride=16)
encoder("esm", "EsmConfig", "EsmModel", position_embedding_type="rotary", pad_token_id=0, max_position_embeddings=130)


def layers_of(c):
    for k in ("num_hidden_layers", "n_layer", "num_layers"):
        if hasattr(c, k):
            return getattr(c, k)


def decoder(name, config, cls, exporters=BOTH, past=True, kv=None, **options):
    """Logits and a cache: past_key_values.<i>.key/.value in, present out."""
    options = dict(hidden_size=64, num_hidden_layers=2, num_attention_heads=4, intermediate_size=128, vocab_size=300, max_position_embeddings=128) | options

    def build():
        from transformers import DynamicCache
        m = transformers_class(name, config, options, cls)
        m.config.use_cache = past
        c = m.config
        n_layers = layers_of(c)
        heads, width = kv or (getattr(c, "num_key_value_heads", None) or c.num_attention_heads, getattr(c, "head_dim", None) or c.hidden_size // c.num_attention_heads)

        class Decoder(nn.Module):
            def __init__(self):
                super().__init__()
                self.m = m

            def forward(self, input_ids, attention_mask, *cache):
                if not past:
                    return self.m(input_ids=input_ids, attention_mask=attention_mask, use_cache=False).logits
                pairs = [(cache[2 * i], cache[2 * i + 1]) for i in range(n_layers)]
                o = self.m(input_ids=input_ids, attention_mask=attention_mask, past_key_values=DynamicCache.from_legacy_cache(pairs), use_cache=True)
                return o.logits, *[t for pair in o.past_key_values.to_legacy_cache() for t in pair]

        names = ["input_ids", "attention_mask"]
        axes = {"input_ids": {0: "n", 1: "s"}, "attention_mask": {0: "n", 1: "t"}}
        if past:
            for i in range(n_layers):
                for k in ("key", "value"):
                    names.append(f"past.{i}.{k}")
                    axes[names[-1]] = {0: "n", 2: "p"}
        else:
            axes["attention_mask"] = {0: "n", 1: "s"}

        def case(n, s, p):
            t = s + p if past else s
            a = torch.ones(n, t, dtype=torch.long)
            if n > 1:
                a[1, :2] = 0
            return (ids(n, s), a) + (tuple(torch.randn(n, heads, p, width) for _ in range(2 * n_layers)) if past else ())
        cases = [case(2, 4, 6), case(1, 1, 9), case(3, 7, 20)]
        if past:
            return FlatDecoder(Decoder(), 2 * n_layers), names, cases, axes
        return Decoder(), names, cases, axes
    MODELS[name] = (build, exporters)


class FlatDecoder(nn.Module):
    """torch.export names inputs by the signature, so one without *args."""
    def __new__(cls, m, n):
        names = [f"c{i}" for i in range(n)]
        source = f"def forward(self, input_ids, attention_mask, {', '.join(names)}):\n    return self.m(input_ids, attention_mask, {', '.join(names)})\n"
        space = {}
        exec(source, space)
        made = type("Flat", (nn.Module,), {"forward": space["forward"]})()
        made.m = m
        return made


MODELS_WITHOUT_CACHE = ("deepseek_v3", "lfm2")
for past in (False, True):
    def both(name, *a, **k):
        decoder(name + ("_cache" if past else ""), *a, past=past, **k)
    both("gpt2", "GPT2Config", "GPT2LMHeadModel", n_embd=64, n_layer=2, n_head=4, n_positions=128)
    both("gpt_neox", "GPTNeoXConfig", "GPTNeoXForCausalLM")
    both("opt", "OPTConfig", "OPTForCausalLM", ffn_dim=128, word_embed_proj_dim=64)
    both("bloom", "BloomConfig", "BloomForCausalLM", n_layer=2, n_head=4)
    both("llama", "LlamaConfig", "LlamaForCausalLM", num_key_value_heads=2)
    both("mistral", "MistralConfig", "MistralForCausalLM", num_key_value_heads=2, sliding_window=8)
    both("qwen2", "Qwen2Config", "Qwen2ForCausalLM", num_key_value_heads=2)
    both("qwen3", "Qwen3Config", "Qwen3ForCausalLM", num_key_value_heads=2, head_dim=16)
    both("gemma2", "Gemma2Config", "Gemma2ForCausalLM", num_key_value_heads=2, head_dim=16)
    both("gemma3", "Gemma3TextConfig", "Gemma3ForCausalLM", num_key_value_heads=2, head_dim=16, sliding_window=8)
    both("phi3", "Phi3Config", "Phi3ForCausalLM", num_key_value_heads=2, pad_token_id=0)
    both("phi", "PhiConfig", "PhiForCausalLM")
    both("mixtral", "MixtralConfig", "MixtralForCausalLM", num_key_value_heads=2, num_local_experts=4)
    both("olmoe", "OlmoeConfig", "OlmoeForCausalLM", num_key_value_heads=2, num_experts=4, num_experts_per_tok=2)
    both("falcon", "FalconConfig", "FalconForCausalLM", num_kv_heads=1, kv=(1, 16))
    both("codegen", "CodeGenConfig", "CodeGenForCausalLM", n_embd=64, n_layer=2, n_head=4, n_positions=128, rotary_dim=8)
    both("smollm3", "SmolLM3Config", "SmolLM3ForCausalLM", num_key_value_heads=2, pad_token_id=0)
    both("gpt_oss", "GptOssConfig", "GptOssForCausalLM", num_key_value_heads=2, head_dim=16, num_local_experts=4, num_experts_per_tok=2)
    both("deepseek_v3", "DeepseekV3Config", "DeepseekV3ForCausalLM", num_key_value_heads=4, n_routed_experts=4, n_group=2, topk_group=1, num_experts_per_tok=2, moe_intermediate_size=32, q_lora_rank=32, kv_lora_rank=16, qk_rope_head_dim=8, v_head_dim=16, qk_nope_head_dim=16, first_k_dense_replace=1, kv=(4, 24))
    both("lfm2", "Lfm2Config", "Lfm2ForCausalLM", num_key_value_heads=2, layer_types=["conv", "full_attention"])
del both, past
for name in MODELS_WITHOUT_CACHE:
    MODELS.pop(name + "_cache")

decoder("mamba", "MambaConfig", "MambaForCausalLM", past=False, state_size=8, kv=(1, 1))
decoder("mamba2", "Mamba2Config", "Mamba2ForCausalLM", past=False, state_size=8, num_heads=8, head_dim=16, n_groups=1, chunk_size=8, kv=(1, 1))
decoder("rwkv", "RwkvConfig", "RwkvForCausalLM", past=False, context_length=64, attention_hidden_size=64, kv=(1, 1))
decoder("recurrent_gemma", "RecurrentGemmaConfig", "RecurrentGemmaForCausalLM", past=False, num_hidden_layers=3, lru_width=64, attention_window_size=16, num_key_value_heads=1, kv=(1, 1))


def seq2seq(name, config, cls, exporters=BOTH, **options):
    def build():
        m = transformers_class(name, config, options, cls)

        class M(nn.Module):
            def __init__(self):
                super().__init__()
                self.m = m

            def forward(self, input_ids, attention_mask, decoder_input_ids):
                o = self.m(input_ids=input_ids, attention_mask=attention_mask, decoder_input_ids=decoder_input_ids, use_cache=False)
                return o.logits, o.encoder_last_hidden_state
        return (M(), ["input_ids", "attention_mask", "decoder_input_ids"], [(ids(2, 12), mask(2, 12), ids(2, 5)), (ids(1, 30), mask(1, 30), ids(1, 1)), (ids(3, 9), mask(3, 9), ids(3, 17))],
                {"input_ids": {0: "n", 1: "s"}, "attention_mask": {0: "n", 1: "s"}, "decoder_input_ids": {0: "n", 1: "t"}})
    MODELS[name] = (build, exporters)


seq2seq("t5", "T5Config", "T5ForConditionalGeneration", d_model=64, d_kv=16, d_ff=128, num_layers=2, num_heads=4, vocab_size=300, decoder_start_token_id=0)
seq2seq("bart", "BartConfig", "BartForConditionalGeneration", d_model=64, encoder_layers=2, decoder_layers=2, encoder_attention_heads=4, decoder_attention_heads=4, encoder_ffn_dim=128, decoder_ffn_dim=128, vocab_size=300, max_position_embeddings=128)
seq2seq("marian", "MarianConfig", "MarianMTModel", d_model=64, encoder_layers=2, decoder_layers=2, encoder_attention_heads=4, decoder_attention_heads=4, encoder_ffn_dim=128, decoder_ffn_dim=128, vocab_size=300, max_position_embeddings=128, pad_token_id=0)
seq2seq("led", "LEDConfig", "LEDForConditionalGeneration", d_model=64, encoder_layers=2, decoder_layers=2, encoder_attention_heads=4, decoder_attention_heads=4, encoder_ffn_dim=128, decoder_ffn_dim=128, vocab_size=300, attention_window=8)
seq2seq("switch", "SwitchTransformersConfig", "SwitchTransformersForConditionalGeneration", d_model=64, d_kv=16, d_ff=128, num_layers=2, num_heads=4, num_experts=4, vocab_size=300, decoder_start_token_id=0)


def layoutlm():
    import transformers
    c = transformers.LayoutLMConfig(hidden_size=64, num_hidden_layers=2, num_attention_heads=4, intermediate_size=128, vocab_size=300, max_2d_position_embeddings=128)
    m = transformers.LayoutLMModel(c)

    class M(nn.Module):
        def __init__(self):
            super().__init__()
            self.m = m

        def forward(self, input_ids, bbox, attention_mask):
            return self.m(input_ids=input_ids, bbox=bbox, attention_mask=attention_mask)[0]

    def case(n, s):
        b = torch.sort(torch.randint(0, 100, (n, s, 4)), -1)[0][..., [0, 1, 2, 3]]
        b = torch.stack([b[..., 0], b[..., 1], b[..., 2], b[..., 3]], -1)
        return ids(n, s), b, mask(n, s)
    return M(), ["input_ids", "bbox", "attention_mask"], [case(2, 9), case(1, 17)], {"input_ids": {0: "n", 1: "s"}, "bbox": {0: "n", 1: "s"}, "attention_mask": {0: "n", 1: "s"}}


MODELS["layoutlm"] = (layoutlm, BOTH)


def tapas():
    import transformers
    c = transformers.TapasConfig(hidden_size=64, num_hidden_layers=2, num_attention_heads=4, intermediate_size=128, vocab_size=300, max_num_columns=4, max_num_rows=8)
    m = transformers.TapasForQuestionAnswering(c)

    class M(nn.Module):
        def __init__(self):
            super().__init__()
            self.m = m

        def forward(self, input_ids, attention_mask, token_type_ids):
            return self.m(input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids).logits

    def case(n, s):
        t = torch.zeros(n, s, 7, dtype=torch.long)
        t[:, 4:, 0] = 1
        t[:, 4:, 1] = torch.randint(1, 4, (n, s - 4))
        t[:, 4:, 2] = torch.randint(1, 8, (n, s - 4))
        return ids(n, s), mask(n, s), t
    return M(), ["input_ids", "attention_mask", "token_type_ids"], [case(2, 12), case(1, 20)], {"input_ids": {0: "n", 1: "s"}, "attention_mask": {0: "n", 1: "s"}, "token_type_ids": {0: "n", 1: "s"}}


MODELS["tapas"] = (tapas, BOTH)


def generate_loop():
    """Greedy decoding in the graph: a scripted loop around a small decoder."""
    class Step(nn.Module):
        def __init__(self):
            super().__init__()
            self.e, self.g, self.o = nn.Embedding(50, 32), nn.GRUCell(32, 32), nn.Linear(32, 50)

        def forward(self, token, h):
            h = self.g(self.e(token), h)
            return self.o(h), h

    class Loop(nn.Module):
        def __init__(self):
            super().__init__()
            self.step = torch.jit.trace(Step().eval(), (torch.zeros(2, dtype=torch.long), torch.zeros(2, 32)))

        def forward(self, token, h, count: int):
            out = token.unsqueeze(0)
            for _ in range(count):
                logits, h = self.step(token, h)
                token = logits.argmax(-1)
                out = torch.cat([out, token.unsqueeze(0)], 0)
            return out, h
    m = torch.jit.script(Loop().eval())
    return m, ["token", "h", "count"], [(torch.tensor([1, 2]), torch.randn(2, 32), torch.tensor(5)), (torch.tensor([3, 2, 8]), torch.randn(3, 32), torch.tensor(9))], {"token": {0: "n"}, "h": {0: "n"}}


MODELS["generate_loop"] = (generate_loop, "ts11 ts17")
