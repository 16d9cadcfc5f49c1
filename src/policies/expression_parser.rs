//! Parses `trip` expressions: recursive descent with CEL's order of operators, and a limit of its depth.

use super::expression_tree::{Conversion, InvalidExpression, Node, Operator, Value, Variable};

/// Parentheses, signs and conditions that may be open at once.
const MAX_DEPTH: usize = 50;

/// The binary operators, weakest first; each level is left-associative.
const LEVELS: [&[(&str, Operator)]; 5] = [
    &[("||", Operator::Or)],
    &[("&&", Operator::And)],
    &[
        ("==", Operator::Equal),
        ("!=", Operator::NotEqual),
        ("<=", Operator::LessOrEqual),
        (">=", Operator::GreaterOrEqual),
        ("<", Operator::Less),
        (">", Operator::Greater),
    ],
    &[("+", Operator::Add), ("-", Operator::Subtract)],
    &[("*", Operator::Multiply), ("/", Operator::Divide), ("%", Operator::Remainder)],
];

pub(super) fn parse(text: &str) -> Result<Node, InvalidExpression> {
    let mut parser = Parser { text, position: 0, depth: 0 };
    let root = parser.condition()?;
    parser.skip_space();
    if parser.position < text.len() {
        return Err(parser.error("an operator or the end is expected here"));
    }
    Ok(root)
}

struct Parser<'t> {
    text: &'t str,
    position: usize,
    depth: usize,
}

impl<'t> Parser<'t> {
    fn rest(&self) -> &'t str {
        self.text.get(self.position..).unwrap_or_default()
    }

    fn error(&self, problem: &str) -> InvalidExpression {
        let before = self.text.get(..self.position).unwrap_or_default();
        InvalidExpression { position: before.chars().count() + 1, problem: problem.to_owned() }
    }

    fn skip_space(&mut self) {
        let rest = self.rest();
        self.position += rest.len() - rest.trim_start().len();
    }

    fn takes(&mut self, token: &str) -> bool {
        self.skip_space();
        let is_next = self.rest().starts_with(token);
        if is_next {
            self.position += token.len();
        }
        is_next
    }

    fn expects(&mut self, token: &str) -> Result<(), InvalidExpression> {
        if self.takes(token) { Ok(()) } else { Err(self.error(&format!("`{token}` is missing"))) }
    }

    fn nested<T>(
        &mut self,
        parse: impl FnOnce(&mut Self) -> Result<T, InvalidExpression>,
    ) -> Result<T, InvalidExpression> {
        if self.depth >= MAX_DEPTH {
            return Err(self.error(&format!("it nests deeper than {MAX_DEPTH}")));
        }
        self.depth += 1;
        let parsed = parse(self);
        self.depth -= 1;
        parsed
    }

    fn condition(&mut self) -> Result<Node, InvalidExpression> {
        let first = self.binary(0)?;
        if !self.takes("?") {
            return Ok(first);
        }
        self.nested(|parser| {
            let yes = parser.condition()?;
            parser.expects(":")?;
            let no = parser.condition()?;
            Ok(Node::If(Box::new(first), Box::new(yes), Box::new(no)))
        })
    }

    fn binary(&mut self, level: usize) -> Result<Node, InvalidExpression> {
        let Some(operators) = LEVELS.get(level) else { return self.unary() };
        let mut left = self.binary(level + 1)?;
        while let Some((_, operator)) = operators.iter().find(|(token, _)| self.takes(token)) {
            let right = self.binary(level + 1)?;
            left = Node::Binary(*operator, Box::new(left), Box::new(right));
        }
        Ok(left)
    }

    fn unary(&mut self) -> Result<Node, InvalidExpression> {
        if self.takes("!") {
            return self.nested(|parser| Ok(Node::Not(Box::new(parser.unary()?))));
        }
        if self.takes("-") {
            return self.nested(|parser| Ok(Node::Negative(Box::new(parser.unary()?))));
        }
        self.primary()
    }

    fn primary(&mut self) -> Result<Node, InvalidExpression> {
        if self.takes("(") {
            return self.nested(|parser| {
                let inside = parser.condition()?;
                parser.expects(")")?;
                Ok(inside)
            });
        }
        self.skip_space();
        let word = self.word();
        match word.bytes().next() {
            Some(first) if first.is_ascii_digit() || first == b'.' => self.number(word),
            Some(_) => self.name(word),
            None => Err(self.error("a number, a name or `(` is expected here")),
        }
    }

    /// Letters, digits, `_` and `.` from here on; nothing is consumed.
    fn word(&self) -> &'t str {
        let rest = self.rest();
        let is_in_word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
        rest.get(..rest.find(|c| !is_in_word(c)).unwrap_or(rest.len())).unwrap_or_default()
    }

    fn number(&mut self, word: &str) -> Result<Node, InvalidExpression> {
        let is_decimal = word.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        let value = match word.contains('.') {
            _ if !is_decimal => None,
            true => word.parse().ok().map(Value::Double),
            false => word.parse().ok().map(Value::Int),
        };
        let value = value.ok_or_else(|| self.error("this is not a number such as `5` or `0.5`"))?;
        self.position += word.len();
        Ok(Node::Value(value))
    }

    fn name(&mut self, word: &str) -> Result<Node, InvalidExpression> {
        let conversion = match word {
            "int" => Some(Conversion::Int),
            "double" => Some(Conversion::Double),
            _ => None,
        };
        let start = self.position;
        self.position += word.len();
        if self.takes("(") {
            let Some(conversion) = conversion else {
                self.position = start;
                return Err(self.error("the functions are `int()` and `double()`"));
            };
            return self.nested(|parser| {
                let inside = parser.condition()?;
                parser.expects(")")?;
                Ok(Node::Convert(conversion, Box::new(inside)))
            });
        }
        Ok(match word {
            "true" => Node::Value(Value::Bool(true)),
            "false" => Node::Value(Value::Bool(false)),
            _ => Variable::named(word).map_or_else(|| Node::Unknown(word.to_owned()), Node::Count),
        })
    }
}
