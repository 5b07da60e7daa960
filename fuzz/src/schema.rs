//! The protocol as its descriptors describe it: every method of every service, messages made from choices, and what
//! answers carry. A new rpc or field is known here without being named.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::OnceLock,
};

use prost::{
    Message as _,
    encoding::{WireType, encode_key, encode_varint},
};
use prost_types::{
    DescriptorProto, FieldDescriptorProto, FileDescriptorSet,
    field_descriptor_proto::{Label, Type},
};

use super::{source::Source, words::Words};

/// Members of a list and messages in one another, at most.
const LIST_MAX: usize = 4;
const DEPTH_MAX: usize = 8;
/// Fields that a plain message leaves out although it could have them: what they ask for often cannot be met.
const OPTIONAL: [&str; 12] = [
    "consistency",
    "precondition",
    "filter",
    "retention",
    "compares",
    "failure",
    "attributes",
    "token",
    "page_token",
    "ttl",
    "expire_time",
    "bookmark_interval",
];

/// A method of a service.
#[derive(Clone, Debug)]
pub struct Method {
    /// As it stands in a request, `/swarmem.v1.MemoryService/Put`.
    pub path: String,
    /// The full name of the request's type.
    pub input: String,
    /// The full name of the response's type.
    pub output: String,
    /// Whether the client may send several messages.
    pub is_client_streaming: bool,
    /// Whether it is one of this project's, not of a standard service.
    pub is_own: bool,
}

impl Method {
    /// The bytes that mean it: a hash of its path (FNV-1a, folded).
    pub fn bytes(&self) -> [u8; 2] {
        let step = |hash: u32, byte: u8| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
        let hash = self.path.bytes().fold(0x811c_9dc5, step);
        ((hash >> 16) as u16 ^ hash as u16).to_be_bytes()
    }
}

/// All that is known of the protocol.
#[derive(Debug, Default)]
pub struct Schema {
    /// Own ones first, in the order of their files.
    pub methods: Vec<Method>,
    messages: BTreeMap<String, DescriptorProto>,
    enums: BTreeMap<String, BTreeSet<i32>>,
}

impl Schema {
    /// The schema of everything that the service answers.
    pub fn get() -> &'static Self {
        static SCHEMA: OnceLock<Schema> = OnceLock::new();
        SCHEMA.get_or_init(|| {
            let mut schema = Self::default();
            schema.add(swarmem::wire::DESCRIPTORS, true);
            schema.add(tonic_health::pb::FILE_DESCRIPTOR_SET, false);
            schema.add(tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET, false);
            schema.add(tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET, false);
            schema
        })
    }

    fn add(&mut self, encoded: &[u8], is_own: bool) {
        let set = FileDescriptorSet::decode(encoded).expect("the descriptors are readable");
        for file in set.file {
            let package = format!(".{}", file.package());
            for message in &file.message_type {
                self.add_message(&package, message);
            }
            for service in &file.service {
                self.methods.extend(service.method.iter().map(|method| Method {
                    path: format!("/{}.{}/{}", file.package(), service.name(), method.name()),
                    input: method.input_type().into(),
                    output: method.output_type().into(),
                    is_client_streaming: method.client_streaming(),
                    is_own,
                }));
            }
            for one in file.enum_type {
                let numbers = one.value.iter().map(|value| value.number()).collect();
                self.enums.insert(format!("{package}.{}", one.name()), numbers);
            }
        }
    }

    fn add_message(&mut self, outer: &str, message: &DescriptorProto) {
        let name = format!("{outer}.{}", message.name());
        for nested in &message.nested_type {
            self.add_message(&name, nested);
        }
        for one in &message.enum_type {
            let numbers = one.value.iter().map(|value| value.number()).collect();
            self.enums.insert(format!("{name}.{}", one.name()), numbers);
        }
        self.messages.insert(name, message.clone());
    }

    /// The method that two bytes mean. A new method takes its bytes from one other, so that inputs keep their meaning.
    pub fn method_of(&self, bytes: [u8; 2]) -> &Method {
        let wanted = u16::from_be_bytes(bytes);
        let distance = |method: &&Method| u16::from_be_bytes(method.bytes()).wrapping_sub(wanted);
        self.methods.iter().min_by_key(distance).expect("there are methods")
    }

    /// The method with this path.
    pub fn method(&self, path: &str) -> &Method {
        self.methods.iter().find(|method| method.path == path).expect("there is such a method")
    }

    /// A message's fields.
    pub fn fields(&self, message: &str) -> &[FieldDescriptorProto] {
        &self.messages.get(message).expect("the descriptors are complete").field
    }

    /// An encoded message of the type. Zeros make a plain one that the service takes.
    pub fn message(&self, message: &str, source: &mut Source<'_>, words: &Words) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.write(message, source, words, 0, &mut bytes);
        bytes
    }

    fn write(&self, name: &str, source: &mut Source<'_>, words: &Words, depth: usize, into: &mut Vec<u8>) {
        let fields = self.fields(name);
        for (at, field) in fields.iter().enumerate() {
            // Of the members of a oneof the first decides which is written.
            let field = match field.oneof_index.filter(|_| !field.proto3_optional()) {
                None => field,
                Some(one) => {
                    let is_member = |f: &&FieldDescriptorProto| f.oneof_index == Some(one);
                    if fields[..at].iter().any(|f| is_member(&f)) {
                        continue;
                    }
                    let members: Vec<_> = fields.iter().filter(is_member).collect();
                    members[source.below(members.len())]
                }
            };
            let choice = source.byte();
            let is_plain = choice < 96;
            let is_list = field.label() == Label::Repeated;
            let is_message = field.r#type() == Type::Message;
            let is_left_out = match choice {
                0..96 => depth >= 4 || OPTIONAL.contains(&field.name()) || (is_list && !is_message),
                96..128 => true,
                _ => depth >= DEPTH_MAX,
            };
            if is_left_out {
                continue;
            }
            let count = if is_list && !is_plain { source.below(LIST_MAX) } else { 1 };
            for _ in 0..count {
                self.write_field(field, source, words, depth, into);
            }
        }
        // A field that nobody knows.
        if source.byte() > 250 {
            into.extend_from_slice(source.bytes());
        }
    }

    fn write_field(
        &self,
        field: &FieldDescriptorProto,
        source: &mut Source<'_>,
        words: &Words,
        depth: usize,
        into: &mut Vec<u8>,
    ) {
        let number = u32::try_from(field.number()).expect("numbers of fields are positive");
        let bytes = match field.r#type() {
            Type::Message => {
                let mut inner = Vec::new();
                self.write(field.type_name(), source, words, depth + 1, &mut inner);
                inner
            }
            Type::String => words.choose(field.name(), source).into_bytes(),
            Type::Bytes => source.bytes().to_vec(),
            Type::Double | Type::Fixed64 | Type::Sfixed64 => {
                let edges = [0.5, 0.0, 1.0, -0.0, 1.5, f64::NAN, f64::INFINITY, f64::MIN_POSITIVE];
                let value = match source.byte() {
                    choice @ 0..200 => edges[usize::from(choice) % edges.len()],
                    _ => f64::from_le_bytes(source.array()),
                };
                encode_key(number, WireType::SixtyFourBit, into);
                into.extend_from_slice(&value.to_le_bytes());
                return;
            }
            Type::Float | Type::Fixed32 | Type::Sfixed32 => {
                encode_key(number, WireType::ThirtyTwoBit, into);
                into.extend_from_slice(&source.array::<4>());
                return;
            }
            Type::Enum => {
                let known = self.enums.get(field.type_name()).map(|all| all.iter().copied().collect());
                let known: Vec<i32> = known.unwrap_or_default();
                // The first is 0, not said, which is often refused.
                let value = match source.byte() {
                    choice @ 0..240 if known.len() > 1 => {
                        known[(usize::from(choice) + 1) % known.len()] as u64
                    }
                    _ => source.number(),
                };
                encode_key(number, WireType::Varint, into);
                encode_varint(value, into);
                return;
            }
            Type::Bool => {
                encode_key(number, WireType::Varint, into);
                encode_varint(u64::from(source.byte() % 4 != 3), into);
                return;
            }
            _ => {
                encode_key(number, WireType::Varint, into);
                encode_varint(source.number(), into);
                return;
            }
        };
        encode_key(number, WireType::LengthDelimited, into);
        encode_varint(bytes.len() as u64, into);
        into.extend_from_slice(&bytes);
    }

    /// Walks an encoded message, which must be one of the type, and shows every text with the name of its field.
    ///
    /// # Errors
    /// When it is no message of the type.
    pub fn texts(
        &self,
        name: &str,
        mut bytes: &[u8],
        see: &mut impl FnMut(&str, &str),
    ) -> Result<(), String> {
        let wrong = |why: &dyn std::fmt::Debug| format!("no {name}: {why:?}");
        while !bytes.is_empty() {
            let (number, wire) = prost::encoding::decode_key(&mut bytes).map_err(|e| wrong(&e))?;
            let field = self.fields(name).iter().find(|f| f.number().unsigned_abs() == number);
            let field = field.ok_or_else(|| wrong(&format!("field {number}")))?;
            if wire != WireType::LengthDelimited {
                let context = prost::encoding::DecodeContext::default();
                prost::encoding::skip_field(wire, number, &mut bytes, context).map_err(|e| wrong(&e))?;
                continue;
            }
            let len = prost::encoding::decode_varint(&mut bytes).map_err(|e| wrong(&e))?;
            let (value, rest) = bytes.split_at_checked(len as usize).ok_or_else(|| wrong(&"cut"))?;
            bytes = rest;
            match field.r#type() {
                Type::Message => self.texts(field.type_name(), value, see)?,
                Type::String => see(field.name(), std::str::from_utf8(value).map_err(|e| wrong(&e))?),
                _ => {}
            }
        }
        Ok(())
    }
}
