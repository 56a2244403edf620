//! Writes the files that mutation begins with: `seeds FOLDER` makes a folder per target.

use fairweir_exact::{
    bert::EncoderShape,
    gguf::File,
    llama::{Model, Shape},
    path::Path as Kernels,
    pool::Single,
    referee::{
        Question, Recording, Run,
        tree::{Section, digits, value},
    },
    sample::Parameters,
    testing::{Entry, GgufWriter, tiny_encoder, tiny_gguf},
};
use std::{fs, io, path::Path};

/// As small as a model can be, so that mutations meet the header.
const MODEL: Shape = Shape {
    layers: 1,
    width: 32,
    heads: 2,
    kv_heads: 1,
    head_size: 16,
    ffn: 32,
    vocabulary: 16,
    context: 8,
};

const ENCODER: EncoderShape = EncoderShape {
    layers: 1,
    width: 32,
    heads: 2,
    ffn: 32,
    vocabulary: 4,
    max_positions: 4,
};

/// Templates as models have them, and what else the language offers.
const TEMPLATES: [&str; 6] = [
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\nYou are helpful<|im_end|>\n' }}{% endif %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}",
    "{% set loop_messages = messages %}{% for message in loop_messages %}{% set content = '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n'+ message['content'] | trim + '<|eot_id|>' %}{% if loop.index0 == 0 %}{% set content = bos_token + content %}{% endif %}{{ content }}{% endfor %}",
    "{%- if tools is not none and tools is defined %}{%- for tool in tools | selectattr('type', 'equalto', 'function') %}{{- tool.function | tojson(indent=4) }}{{ '\n' }}{%- endfor %}{%- endif %}{%- if messages[0].role not in ['system', 'user'] %}{{ raise_exception('no') }}{%- endif %}",
    "{%- macro part(item, depth=0) -%}{%- for key, value in item.items() -%}{{ '  ' * depth }}{{ key }}={{ value if value is string else part(value, depth + 1) }}{%- endfor -%}{%- endmacro -%}{{ part({'a': {'b': 'c'}}) }}",
    "{% set ns = namespace(text='', found=false, list=[]) %}{% for m in messages %}{% set ns.text = ns.text ~ m.role.upper() %}{% set ns.list = ns.list + [m.content | string | replace('a', 'b')] %}{% if m.tool_calls %}{% set ns.found = true %}{% endif %}{% endfor %}{{ ns.text }}{{ ns.list | join(', ') | indent(2) }}{{ ns.text[1:3] }}{{ ns.list | map('length') | list }}",
    "{% for i in range(3) %}{{ 'abc' * i }}{{ [i, 1.5] | sort | unique | list }}{{ 'x'.split('x') | batch(2) | list }}{% endfor %}{% filter upper %}a{% endfilter %}{% set x %}{{ 1 < 2 <= 2 }}{% endset %}{{ x | default('d') | length }}{{ dict(a=1) | dictsort | tojson }}{{ 'a,b'.split(',')[0].strip().startswith(('a', 'b')) }}",
];

/// A `tokenizer.json` as text encoders have it, with a text after the zero byte.
const TOKENIZER_JSON: [&str; 3] = [
    r###"{"version":"1.0","truncation":null,"padding":null,"added_tokens":[{"id":0,"content":"[UNK]","single_word":false,"lstrip":false,"rstrip":false,"normalized":false,"special":true}],"normalizer":{"type":"BertNormalizer","clean_text":true,"handle_chinese_chars":true,"strip_accents":null,"lowercase":true},"pre_tokenizer":{"type":"BertPreTokenizer"},"post_processor":{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"[CLS]","type_id":0}},{"Sequence":{"id":"A","type_id":0}}],"pair":[{"Sequence":{"id":"A","type_id":0}},{"Sequence":{"id":"B","type_id":1}}],"special_tokens":{"[CLS]":{"id":"[CLS]","ids":[1],"tokens":["[CLS]"]}}},"decoder":{"type":"WordPiece","prefix":"##","cleanup":true},"model":{"type":"WordPiece","unk_token":"[UNK]","continuing_subword_prefix":"##","max_input_chars_per_word":100,"vocab":{"[UNK]":0,"[CLS]":1,"a":2,"##b":3}}}"###,
    r#"{"version":"1.0","added_tokens":[],"normalizer":{"type":"Sequence","normalizers":[{"type":"NFKC"},{"type":"Replace","pattern":{"String":"a"},"content":"b"},{"type":"Prepend","prepend":"x"}]},"pre_tokenizer":{"type":"Split","pattern":{"Regex":"a+|."},"behavior":"Isolated","invert":false},"model":{"type":"WordLevel","vocab":{"[UNK]":0,"a":1},"unk_token":"[UNK]"}}"#,
    r#"{"version":"1.0","added_tokens":[],"pre_tokenizer":{"type":"Metaspace","replacement":"_","prepend_scheme":"always","split":true},"model":{"type":"Unigram","unk_id":0,"vocab":[["<unk>",0.0],["_a",-1.0],["b",-2.5]],"byte_fallback":false}}"#,
];

fn write(folder: &Path, target: &str, name: &str, bytes: &[u8]) -> io::Result<()> {
    let folder = folder.join(target);
    fs::create_dir_all(&folder)?;
    fs::write(folder.join(name), bytes)
}

/// A run of the tiny model, and of each kind of its values one with all that it follows from, as the target `referee` reads it.
fn referee_seeds(folder: &Path) -> io::Result<()> {
    let file = tiny_gguf(1, &MODEL, &[]);
    let parsed = File::parse(&file).expect("well formed");
    let model = Model::load(&parsed, Kernels::best()).expect("a llama model");
    let run = Run {
        model: &model,
        file: &file,
        origin: b"asked",
        prompt: &[1, 2, 3],
        chosen: &[4, 5],
    };
    let recording = run.record(&Single).expect("small");
    let question = Question {
        origin: b"asked",
        file_bytes: file.len() as u64,
        file_sha256: [7; 32],
        prompt: Some(&[1, 2, 3]),
        parameters: Some(Parameters::default()),
        seed: [3; 32],
        tokens_max: 2,
    };
    let of_row = recording.order().of_row();
    for at in 2 * of_row..4 * of_row {
        let (section, index) = (Section::Rows, at);
        let mut path = vec![section as u8];
        path.extend(digits(index));
        let shown = run.show(&Single, &recording, (section, index));
        let within: Vec<u8> = match shown.cells() {
            0 | 1 => Vec::new(),
            2..=16 => vec![1],
            _ => vec![0, 1],
        };
        path.extend(&within);
        let claims = [[1; 32], [9; 32]];
        let Ok((exhibits, _)) = shown.exhibits(&question, &path, &claims) else {
            continue;
        };
        let mut seed = vec![0, 0];
        seed.extend(question.file_bytes.to_le_bytes());
        seed.push(2);
        seed.extend((exhibits.head_at as u16).to_le_bytes());
        seed.push(section as u8);
        seed.extend(&(index as u32).to_le_bytes()[..3]);
        seed.push(within.len() as u8);
        seed.extend(within);
        for bytes in &exhibits.values {
            for (section, place) in places(&recording, bytes, 4 * of_row) {
                seed.push(section);
                seed.extend((place as u16).to_le_bytes());
                seed.extend((bytes.len() as u16).to_le_bytes());
                seed.extend(bytes);
            }
        }
        write(folder, "referee", &format!("cell-{at}"), &seed)?;
    }
    write(folder, "referee", "bound", &[1, 0, 0, 0, 0])?;
    write(folder, "referee", "exhibit", &[2, 0, 0, 0, 0, 0])
}

/// Where a recording has a value.
fn places(recording: &Recording, bytes: &[u8], places_max: usize) -> Vec<(u8, usize)> {
    let wanted = value(bytes);
    let mut found = Vec::new();
    for section in Section::ALL {
        for place in 0..places_max {
            let digits = digits(place);
            let (last, above) = digits.split_last().expect("there are levels");
            let path: Vec<u8> = [section as u8].iter().chain(above).copied().collect();
            let children = recording.children(&path);
            if children.get(usize::from(*last)) == Some(&wanted) {
                found.push((section as u8, place));
            }
        }
    }
    found
}

fn main() -> io::Result<()> {
    let folder = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "corpus".to_owned());
    let folder = Path::new(&folder);
    referee_seeds(folder)?;
    let tokenizer = [
        (
            "tokenizer.ggml.model".to_owned(),
            Entry::Text("gpt2".to_owned()),
        ),
        (
            "tokenizer.ggml.tokens".to_owned(),
            Entry::Texts(vec!["a".to_owned(), "b".to_owned()]),
        ),
        (
            "tokenizer.ggml.token_type".to_owned(),
            Entry::Numbers(vec![1, 3]),
        ),
    ];
    for seed in 0..4u64 {
        let extra = if seed < 2 { &[][..] } else { &tokenizer };
        write(
            folder,
            "gguf",
            &format!("model-{seed}"),
            &tiny_gguf(seed, &MODEL, extra),
        )?;
        let (weights, config) = tiny_encoder(seed, &ENCODER);
        let both = [config.as_bytes(), &[0], &weights].concat();
        write(folder, "safetensors", &format!("encoder-{seed}"), &both)?;
    }
    for (number, source) in TEMPLATES.iter().enumerate() {
        write(
            folder,
            "template",
            &format!("chat-{number}"),
            source.as_bytes(),
        )?;
    }
    for (number, source) in TOKENIZER_JSON.iter().enumerate() {
        let both = format!("{source}\0Ab ba? aab");
        write(
            folder,
            "tokenizer",
            &format!("json-{number}"),
            both.as_bytes(),
        )?;
    }
    for rule in ["default", "smollm", "llama-bpe"] {
        let fields = format!(
            "\0{rule}\0<s>\n</s>\na\nb\nab\n\u{120}\n\u{120}a\0a b\n\u{120} a\0\u{3}\u{3}\u{1}\u{1}\u{1}\u{1}\u{1}\0ab a </s>12"
        );
        write(
            folder,
            "tokenizer",
            &format!("gguf-{rule}"),
            fields.as_bytes(),
        )?;
    }
    let empty = GgufWriter::default().entry("k", Entry::Flag(true)).finish();
    write(folder, "gguf", "empty", &empty)
}
