use super::*;
use crate::{
    contract::Served,
    inference::testing::{TINY_ENCODER, TinyModels},
    service_laws,
};
use std::sync::LazyLock;

static MODELS: LazyLock<Arc<TinyModels>> = LazyLock::new(TinyModels::load);

impl Served for Embedding {
    fn service() -> Arc<dyn AnyService> {
        service(Arc::clone(&*MODELS) as Arc<dyn Models>)
    }
}

fn samples(size: usize) -> Vec<EmbeddingSpec> {
    let text: String = "Water, für alle! "
        .chars()
        .cycle()
        .take(size / 20 + 1)
        .collect();
    let many = (0..=size / 40)
        .map(|index| format!("{index}{text}"))
        .collect();
    vec![
        EmbeddingSpec::new(TINY_ENCODER, vec!["a".repeat(size / 20 + 1)]).unwrap(),
        EmbeddingSpec::new(TINY_ENCODER, many).unwrap(),
    ]
}

service_laws!(
    Embedding,
    samples,
    "4b1dfe305e98a27869e9171a7767ee418c69386e4fa105347df8f533f0c2b745"
);
