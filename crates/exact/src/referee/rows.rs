//! Which value of the forward pass stands where.

use crate::llama::Shape;

/// What a value of a row is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Value {
    /// The token that the row is of.
    Token,
    /// The residual stream before a layer, or behind the last.
    Residual(usize),
    /// Its norm before attention.
    Normed(usize),
    /// Queries of all heads, turned by the position.
    Query(usize),
    /// Keys of all heads, turned by the position.
    Key(usize),
    /// Values of all heads.
    Value(usize),
    /// Of a layer and a head: its products with the keys of all positions so far.
    Scores(usize, usize),
    /// Of a layer and a head: what each position weighs, and their sum.
    Weights(usize, usize),
    /// Of a layer and a head: the mixed values after each sixteen positions.
    Mix(usize, usize),
    /// The mixed values of all heads, divided by their weights.
    Mixed(usize),
    /// What attention adds to the stream.
    Attended(usize),
    /// The stream between attention and feed-forward.
    Middle(usize),
    /// Its norm before feed-forward.
    FfnNormed(usize),
    /// The gated elements between the feed-forward matrices.
    Gated(usize),
    /// What feed-forward adds to the stream.
    Down(usize),
    /// The norm before the logits.
    OutputNormed,
    /// The logits.
    Logits,
    /// Their digest.
    LogitsDigest,
    /// The tokens chosen up to this row.
    Chosen,
    /// The trace up to this row.
    Trace,
}

/// Values of one head.
const OF_HEAD: usize = 3;
/// Values of one layer besides.
const OF_LAYER: usize = 11;
/// Values before the layers.
const BEFORE: usize = 2;
/// Values behind the layers, of rows whose logits are wanted.
const BEHIND: usize = 5;

/// The order of values: a row after the other, each in the order of its computation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    layers: usize,
    heads: usize,
}

impl Order {
    /// For models of a shape.
    #[must_use]
    pub fn new(shape: &Shape) -> Self {
        Self {
            layers: shape.layers,
            heads: shape.heads,
        }
    }

    fn of_layer(&self) -> usize {
        OF_LAYER + OF_HEAD * self.heads
    }

    /// How many values a row has room for.
    #[must_use]
    pub fn of_row(&self) -> usize {
        BEFORE + self.layers * self.of_layer() + BEHIND
    }

    /// Where a value of a position stands.
    #[must_use]
    pub fn index(&self, position: usize, value: Value) -> usize {
        let (size, end) = (self.of_layer(), BEFORE + self.layers * self.of_layer());
        let in_layer = |layer: usize, at: usize| BEFORE + layer * size + at;
        let of_heads = 4 + OF_HEAD * self.heads;
        let slot = match value {
            Value::Token => 0,
            Value::Residual(layer) => 1 + layer * size,
            Value::Normed(layer) => in_layer(layer, 0),
            Value::Query(layer) => in_layer(layer, 1),
            Value::Key(layer) => in_layer(layer, 2),
            Value::Value(layer) => in_layer(layer, 3),
            Value::Scores(layer, head) => in_layer(layer, 4 + OF_HEAD * head),
            Value::Weights(layer, head) => in_layer(layer, 5 + OF_HEAD * head),
            Value::Mix(layer, head) => in_layer(layer, 6 + OF_HEAD * head),
            Value::Mixed(layer) => in_layer(layer, of_heads),
            Value::Attended(layer) => in_layer(layer, of_heads + 1),
            Value::Middle(layer) => in_layer(layer, of_heads + 2),
            Value::FfnNormed(layer) => in_layer(layer, of_heads + 3),
            Value::Gated(layer) => in_layer(layer, of_heads + 4),
            Value::Down(layer) => in_layer(layer, of_heads + 5),
            Value::OutputNormed => end,
            Value::Logits => end + 1,
            Value::LogitsDigest => end + 2,
            Value::Chosen => end + 3,
            Value::Trace => end + 4,
        };
        position * self.of_row() + slot
    }

    /// What stands at an index: a position, and its value.
    #[must_use]
    pub fn at(&self, index: usize) -> (usize, Value) {
        let (position, slot) = (index / self.of_row(), index % self.of_row());
        let Some(slot) = slot.checked_sub(BEFORE) else {
            let value = if slot == 0 {
                Value::Token
            } else {
                Value::Residual(0)
            };
            return (position, value);
        };
        let (layer, slot) = (slot / self.of_layer(), slot % self.of_layer());
        let of_heads = 4 + OF_HEAD * self.heads;
        let value = if layer == self.layers {
            match slot {
                0 => Value::OutputNormed,
                1 => Value::Logits,
                2 => Value::LogitsDigest,
                3 => Value::Chosen,
                _ => Value::Trace,
            }
        } else if (4..of_heads).contains(&slot) {
            let (head, part) = ((slot - 4) / OF_HEAD, (slot - 4) % OF_HEAD);
            match part {
                0 => Value::Scores(layer, head),
                1 => Value::Weights(layer, head),
                _ => Value::Mix(layer, head),
            }
        } else {
            match slot.checked_sub(of_heads) {
                None if slot == 0 => Value::Normed(layer),
                None if slot == 1 => Value::Query(layer),
                None if slot == 2 => Value::Key(layer),
                None => Value::Value(layer),
                Some(0) => Value::Mixed(layer),
                Some(1) => Value::Attended(layer),
                Some(2) => Value::Middle(layer),
                Some(3) => Value::FfnNormed(layer),
                Some(4) => Value::Gated(layer),
                Some(5) => Value::Down(layer),
                Some(_) => Value::Residual(layer + 1),
            }
        };
        (position, value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::tiny_shape;

    #[test]
    fn every_value_has_one_place() {
        let order = Order::new(&tiny_shape());
        for index in 0..3 * order.of_row() {
            let (position, value) = order.at(index);
            assert_eq!(order.index(position, value), index, "{value:?}");
        }
    }
}
