//! Guards within a compiled template: a template is a program of strangers, and fuel bounds its instructions alone, not what one of them
//! costs. `'x' * 10**9` is one instruction, and thirty doublings of a text make a gigabyte.
//!
//! Before each instruction that reads whole values a call is put that weighs them, and after each that makes values another that weighs
//! what came. What is too heavy ends the rendering, on every machine alike: weights are counted, not measured.

use minijinja::{
    Environment, Error, ErrorKind, Value,
    machinery::{Instruction, Instructions},
    value::{Rest, ValueKind},
};
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// Weight of one value: the bytes of its text and of everything in it.
const SIZE_MAX: u64 = 4 << 20;
/// Weight of everything that one rendering makes.
const MADE_MAX: u64 = 64 << 20;
/// Weight of everything that one rendering looks at.
const WORK_MAX: u64 = 512 << 20;
/// Weight of a value besides its text.
const NODE: u64 = 64;
/// Lists and maps within each other.
const DEPTH_MAX: usize = 160;

/// Filters and methods whose result may be as long as the product of what they are given.
const MULTIPLYING: [&str; 6] = ["replace", "join", "indent", "tojson", "batch", "slice"];
/// Filters and tests that cost nothing, whatever they are given.
const CHEAP: [&str; 16] = [
    "length",
    "count",
    "first",
    "last",
    "default",
    "d",
    "defined",
    "undefined",
    "none",
    "string",
    "mapping",
    "sequence",
    "iterable",
    "boolean",
    "number",
    "sameas",
];
/// What formats numbers to any width.
const REFUSED: [&str; 2] = ["format", "pprint"];

/// Guards are functions whose names no template can write.
const SUM: &str = " sum";
const PRODUCT: &str = " product";
const MAP: &str = " map";
const COUNT: &str = " count";
const GLANCE: &str = " glance";
const STORE: &str = " store";
const MADE: &str = " made";
const WRITE: &str = " write";

fn too_much(what: &str) -> Error {
    Error::new(ErrorKind::InvalidOperation, format!("the template {what}"))
}

/// What one rendering has cost.
#[derive(Debug, Default)]
struct Meter {
    made: AtomicU64,
    work: AtomicU64,
}

fn charge(counter: &AtomicU64, weight: u64, max: u64) -> Result<(), Error> {
    // A rendering has one thread, so nothing is added in between.
    let sum = counter.load(Ordering::Relaxed).saturating_add(weight);
    counter.store(sum, Ordering::Relaxed);
    if sum > max {
        return Err(too_much("makes or reads too much"));
    }
    Ok(())
}

fn length(text: &str) -> u64 {
    u64::try_from(text.len()).unwrap_or(u64::MAX)
}

/// The weight of a value: a text counts its bytes, a list or a map everything in it.
struct Scale<'a> {
    meter: &'a Meter,
    /// Whether what can be changed afterwards, and so may come to contain itself, is refused.
    refuses_references: bool,
    weight: u64,
}

impl Scale<'_> {
    fn add(&mut self, weight: u64) -> Result<(), Error> {
        charge(&self.meter.work, weight, WORK_MAX)?;
        self.weight = self.weight.saturating_add(weight);
        if self.weight > SIZE_MAX {
            return Err(too_much("makes a value that is too large"));
        }
        Ok(())
    }

    fn put(&mut self, value: &Value, depth: usize) -> Result<(), Error> {
        if depth > DEPTH_MAX {
            return Err(too_much("nests values too deeply"));
        }
        if let Some(text) = value.as_str() {
            return self.add(length(text).saturating_add(u64::from(depth > 0) * NODE));
        }
        self.add(NODE)?;
        match value.kind() {
            ValueKind::Seq | ValueKind::Iterable => {
                for item in value.try_iter()? {
                    self.put(&item, depth + 1)?;
                }
            }
            ValueKind::Map | ValueKind::Plain if self.refuses_references && refers(value) => {
                return Err(too_much("stores a namespace or a function in a namespace"));
            }
            ValueKind::Map => {
                let pairs = value.as_object().and_then(|object| object.try_iter_pairs());
                for (key, item) in pairs.into_iter().flatten() {
                    self.put(&key, depth + 1)?;
                    self.put(&item, depth + 1)?;
                }
            }
            _ => {}
        }
        Ok(())
    }
}

fn is_of_type(value: &Value, names: &[&str]) -> bool {
    let name = value.as_object().map(|object| object.type_name());
    name.is_some_and(|name| names.iter().any(|known| name.ends_with(known)))
}

/// Whether a value refers to others that may come to contain it.
fn refers(value: &Value) -> bool {
    is_of_type(value, &["Namespace", "Macro", "Closure", "Loop"])
}

impl Meter {
    fn weigh(&self, value: &Value, refuses_references: bool) -> Result<u64, Error> {
        let mut scale = Scale {
            meter: self,
            refuses_references,
            weight: 0,
        };
        scale.put(value, 0)?;
        Ok(scale.weight.max(1))
    }

    fn sum(&self, values: &[Value]) -> Result<(), Error> {
        let mut sum = 0u64;
        for value in values {
            sum = sum.saturating_add(self.weigh(value, false)?);
        }
        within(sum)
    }

    /// How much longer a filter's result may be by this argument.
    fn factor(&self, value: &Value) -> Result<u64, Error> {
        match value.kind() {
            // A fraction is no count: the operation itself refuses it.
            ValueKind::Number if !value.is_integer() => Ok(1),
            ValueKind::Number => Ok(value.as_i64().map_or(u64::MAX, i64::unsigned_abs).max(1)),
            ValueKind::Map if value.is_kwargs() => {
                let pairs = value.as_object().and_then(|object| object.try_iter_pairs());
                let mut factor = 1u64;
                for (_, item) in pairs.into_iter().flatten() {
                    factor = factor.saturating_mul(self.factor(&item)?);
                }
                Ok(factor)
            }
            ValueKind::Bool | ValueKind::None | ValueKind::Undefined => Ok(1),
            _ => self.weigh(value, false),
        }
    }

    fn product(&self, values: &[Value]) -> Result<(), Error> {
        let mut product = 1u64;
        for value in values {
            product = product.saturating_mul(self.factor(value)?);
        }
        within(product)
    }

    fn map(&self, values: &[Value]) -> Result<(), Error> {
        let is_multiplying = values
            .iter()
            .filter_map(Value::as_str)
            .any(|name| MULTIPLYING.contains(&name));
        if is_multiplying {
            self.product(values)
        } else {
            self.sum(values)
        }
    }

    /// Counting the empty text in a text has no end.
    fn count(&self, values: &[Value]) -> Result<(), Error> {
        if values.get(1).and_then(Value::as_str) == Some("") {
            return Err(too_much("counts the empty text"));
        }
        self.sum(values)
    }

    /// Of what is looked into at one place: a text and a lazy list are walked through.
    fn glance(&self, values: &[Value]) -> Result<(), Error> {
        for value in values {
            let weight = match (value.as_str(), value.kind()) {
                (Some(text), _) => length(text),
                (None, ValueKind::Iterable) => self.weigh(value, false)?,
                _ => NODE,
            };
            charge(&self.work, weight, WORK_MAX)?;
        }
        Ok(())
    }

    fn store(&self, values: &[Value]) -> Result<(), Error> {
        match values {
            [value, _namespace] => self.weigh(value, true).map(drop),
            _ => Err(too_much("stores nothing")),
        }
    }

    fn made(&self, value: &Value) -> Result<(), Error> {
        charge(&self.made, self.weigh(value, false)?, MADE_MAX)
    }
}

fn within(weight: u64) -> Result<(), Error> {
    if weight > SIZE_MAX {
        return Err(too_much("makes a value that is too large"));
    }
    Ok(())
}

/// A lazy list as a list, and a lazy map as a map: lazy lists of lazy lists could not be walked through without a stack as deep.
fn settled(value: Value) -> Result<Value, Error> {
    if value.kind() == ValueKind::Iterable {
        return Ok(value.try_iter()?.collect());
    }
    if is_of_type(&value, &["MergeDict"]) {
        let pairs = value.as_object().and_then(|object| object.try_iter_pairs());
        return Ok(pairs.into_iter().flatten().collect());
    }
    Ok(value)
}

type Check = fn(&Meter, &[Value]) -> Result<(), Error>;

/// Adds the guards to the environment of one rendering.
pub(super) fn install(environment: &mut Environment<'_>) {
    let meter = Arc::new(Meter::default());
    let checks: [(&'static str, Check); 6] = [
        (SUM, Meter::sum),
        (PRODUCT, Meter::product),
        (MAP, Meter::map),
        (COUNT, Meter::count),
        (GLANCE, Meter::glance),
        (STORE, Meter::store),
    ];
    for (name, check) in checks {
        let meter = Arc::clone(&meter);
        environment.add_function(name, move |values: Rest<Value>| -> Result<Value, Error> {
            check(&meter, &values)?;
            // Unpacking puts the first on top.
            let back = values.0.into_iter().rev();
            let back: Result<Vec<_>, _> = if name == GLANCE {
                Ok(back.collect())
            } else {
                back.map(settled).collect()
            };
            Ok(Value::from(back?))
        });
    }
    let made = Arc::clone(&meter);
    environment.add_function(MADE, move |values: Rest<Value>| -> Result<Value, Error> {
        let value = values.0.into_iter().next().unwrap_or_default();
        made.made(&value)?;
        Ok(value)
    });
    environment.add_function(WRITE, move |bytes: u64| -> Result<(), Error> {
        charge(&meter.made, bytes, MADE_MAX)
    });
}

/// What guards an instruction: a check of so many values on the stack before, and one of its result after.
struct Guard {
    check: Option<(&'static str, usize)>,
    is_making: bool,
}

fn guard(check: &'static str, values: usize, is_making: bool) -> Guard {
    Guard {
        check: (values > 0).then_some((check, values)),
        is_making,
    }
}

fn arguments(name: &str, count: Option<u16>) -> Result<usize, Error> {
    if REFUSED.contains(&name) {
        return Err(too_much(&format!("uses {name}, which is not offered")));
    }
    count
        .map(usize::from)
        .ok_or_else(|| too_much("passes a list as arguments, which is not offered"))
}

fn guard_of(instruction: &Instruction<'_>) -> Result<Option<Guard>, Error> {
    let found = match instruction {
        Instruction::Add | Instruction::StringConcat => guard(SUM, 2, true),
        Instruction::Mul => guard(PRODUCT, 2, true),
        Instruction::Eq
        | Instruction::Ne
        | Instruction::Gt
        | Instruction::Gte
        | Instruction::Lt
        | Instruction::Lte
        | Instruction::In
        | Instruction::CompareAndPreserve(_) => guard(SUM, 2, false),
        Instruction::Slice => guard(SUM, 4, true),
        Instruction::BuildList(Some(count)) => guard(SUM, *count, false),
        Instruction::BuildMap(count) | Instruction::BuildKwargs(count) => {
            guard(SUM, count.saturating_mul(2), false)
        }
        Instruction::MergeKwargs(count) => guard(SUM, *count, false),
        Instruction::GetItem => guard(GLANCE, 2, false),
        Instruction::SetAttr(_) => guard(STORE, 2, false),
        Instruction::PushLoop(_) => guard(SUM, 1, false),
        Instruction::Emit => guard(SUM, 1, false),
        Instruction::EndCapture => guard(SUM, 0, true),
        Instruction::ApplyFilter(name, ..) | Instruction::PerformTest(name, ..)
            if CHEAP.contains(name) =>
        {
            return Ok(None);
        }
        Instruction::PerformTest(name, count, _) => guard(SUM, arguments(name, *count)?, false),
        Instruction::ApplyFilter("map", count, _) => guard(MAP, arguments("map", *count)?, true),
        Instruction::CallMethod("count", count) => guard(COUNT, arguments("count", *count)?, true),
        Instruction::ApplyFilter(name, count, _) | Instruction::CallMethod(name, count) => {
            let is_multiplying = MULTIPLYING.contains(name);
            let check = if is_multiplying { PRODUCT } else { SUM };
            guard(check, arguments(name, *count)?, true)
        }
        Instruction::CallFunction(name, count) => guard(SUM, arguments(name, *count)?, true),
        Instruction::CallObject(count) => guard(SUM, arguments("", *count)?, true),
        Instruction::CallBlock(_)
        | Instruction::LoadBlocks
        | Instruction::Include(_)
        | Instruction::ExportLocals => {
            return Err(too_much(
                "uses blocks or other templates, which are not offered",
            ));
        }
        _ => return Ok(None),
    };
    Ok(Some(found))
}

/// The instructions with guards, and for each old one where it is now.
struct Woven<'source> {
    instructions: Instructions<'source>,
    places: Vec<u32>,
}

impl<'source> Woven<'source> {
    fn push(&mut self, instruction: Instruction<'source>, line: Option<usize>) {
        match line.and_then(|line| u16::try_from(line).ok()) {
            Some(line) => self.instructions.add_with_line(instruction, line),
            None => self.instructions.add(instruction),
        };
    }

    fn push_guarded(
        &mut self,
        instruction: &Instruction<'source>,
        line: Option<usize>,
    ) -> Result<(), Error> {
        if let Instruction::EmitRaw(text) = instruction {
            self.push(Instruction::LoadConst(Value::from(length(text))), line);
            self.push(Instruction::CallFunction(WRITE, Some(1)), line);
            self.push(Instruction::DiscardTop, line);
        }
        let guard = guard_of(instruction)?;
        if let Some((check, values)) = guard.as_ref().and_then(|guard| guard.check) {
            let count =
                u16::try_from(values).map_err(|_| too_much("has a list that is too long"))?;
            self.push(Instruction::CallFunction(check, Some(count)), line);
            self.push(Instruction::UnpackList(values), line);
        }
        let is_written = matches!(instruction, Instruction::Emit);
        if is_written {
            self.push(Instruction::CallFunction(MADE, Some(1)), line);
        }
        self.push(instruction.clone(), line);
        if guard.is_some_and(|guard| guard.is_making) {
            self.push(Instruction::CallFunction(MADE, Some(1)), line);
        }
        Ok(())
    }

    /// Jumps lead to where their targets are now.
    fn mend_jumps(&mut self) -> Result<(), Error> {
        let end = u32::try_from(self.instructions.len()).unwrap_or(u32::MAX);
        for at in 0..end {
            let Some(instruction) = self.instructions.get_mut(at) else {
                break;
            };
            let (Instruction::Iterate(target)
            | Instruction::Jump(target)
            | Instruction::JumpIfFalse(target)
            | Instruction::JumpIfFalseOrPop(target)
            | Instruction::JumpIfTrueOrPop(target)
            | Instruction::BuildMacro(_, target, _)) = instruction
            else {
                continue;
            };
            let place = usize::try_from(*target).ok();
            let place = place.and_then(|place| self.places.get(place));
            *target = *place.ok_or_else(|| too_much("jumps out of itself"))?;
        }
        Ok(())
    }
}

/// Puts guards into a compiled template.
pub(super) fn weave<'source>(
    plain: &Instructions<'source>,
) -> Result<Instructions<'source>, Error> {
    let mut woven = Woven {
        instructions: Instructions::new(plain.name(), plain.source()),
        places: Vec::with_capacity(plain.len() + 1),
    };
    let end = u32::try_from(plain.len()).map_err(|_| too_much("is too long"))?;
    for at in 0..end {
        let place = u32::try_from(woven.instructions.len()).unwrap_or(u32::MAX);
        woven.places.push(place);
        if let Some(instruction) = plain.get(at) {
            woven.push_guarded(instruction, plain.get_line(at))?;
        }
    }
    // A jump may lead behind the last instruction.
    let place = u32::try_from(woven.instructions.len()).unwrap_or(u32::MAX);
    woven.places.push(place);
    woven.mend_jumps()?;
    Ok(woven.instructions)
}
