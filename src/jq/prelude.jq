# The functions of jq that are written in jq. Names that begin with _ cannot be called from a program.
def empty: {}[] as $x | .;
def error: _error as $x | .;
def error(message): (message | _error) as $x | .;
def null: [][0];
def true: 0 == 0;
def false: 0 != 0;
def not: if . then false else true end;
def select(f): if f then . else empty end;

# Types
def nan: _nan;
def infinite: 1e1000 + 0;
def isnan: type == "number" and tojson == "null";
def isinfinite: type == "number" and (. == infinite or . == -infinite);
def isfinite: type == "number" and (isinfinite | not);
def isnormal: type == "number" and . != 0 and (isinfinite or isnan | not) and (fabs >= 2.2250738585072014e-308);
def values: select(. != null);
def nulls: select(. == null);
def booleans: select(type == "boolean");
def numbers: select(type == "number");
def strings: select(type == "string");
def arrays: select(type == "array");
def objects: select(type == "object");
def iterables: select(type == "array" or type == "object");
def scalars: select(type != "array" and type != "object");
def toarray: if type == "array" then . else [.] end;
def toboolean:
  if type == "boolean" then . elif . == "true" then true elif . == "false" then false
  else error("toboolean: neither true nor false") end;
def ascii: [.] | implode;

# Numbers
def abs: if type != "number" then error("abs needs a number") elif . < 0 then -. else . end;
def significand: if . == 0 or isnan or isinfinite then . else scalbln(.; -(_ilogb)) end;
def logb: if . == 0 then -infinite elif isinfinite then infinite elif isnan then . else _ilogb end;
def pow10: exp10;
def gamma: lgamma;
def drem($l; $r): _remainder($l; $r);
def scalb($x; $e): $x * pow(2; $e);

# Loops
def range($from; $to; $by): _range($from; $to; $by);
def range($from; $to): _range($from; $to; 1);
def range($to): _range(0; $to; 1);
def recurse(f): _recurse(f);
def recurse: _recurse(.[]?);
def recurse(f; cond): _recurse(f | select(cond));
def repeat(f): _recurse(f);
def while(cond; update): select(cond) | _recurse(update | select(cond));
def until(cond; update): _recurse(if cond then empty else update end) | select(cond);

# Paths
def paths: path(..) | select(. != []);
def paths(f): path(.. | select(f)) | select(. != []);
def leaf_paths: paths(scalars);
def del(f): delpaths([path(f)]);
def pick(f): . as $in | reduce path(f) as $p (null; setpath($p; $in | getpath($p)));

# Updates
def map(f): [.[] | f];
def map_values(f): .[] |= f;
def walk(f): .. |= f;
def with_entries(f): to_entries | map(f) | from_entries;

# Arrays
def first: .[0];
def last: .[-1];
def nth($n): .[$n];
def nth($n; f): if $n < 0 then error("nth needs an index of 0 or more") else first(skip($n; f)) end;
def reverse: if type == "string" then explode | _reverse | implode
  elif . == null then [] else _reverse end;
def add(f): reduce f as $x (null; . + $x);
def sort: _charge | _sort;
def sort_by(f): _charge | _sort_by(f);
def group_by(f): _charge | _group_by(f);
def unique_by(f): [group_by(f)[] | .[0]];
def unique: unique_by(.);
def min_by(f): _charge | if . == [] then null else first(_min_by(f)) end;
def max_by(f): _charge | if . == [] then null else first(_max_by(f)) end;
def min: min_by(.);
def max: max_by(.);
def flatten: flatten(1000000000);
def transpose: . as $rows | [_range(0; [.[] | length] | max // 0; 1) as $i | [$rows[] | .[$i]]];
def combinations: if length == 0 then [] else
  reduce .[] as $choices ([[]]; [.[] as $head | $choices[] as $x | $head + [$x]]) | .[] end;
def combinations($n): . as $dot | [_range(0; $n; 1) | $dot] | combinations;
def index($i): indices($i) | .[0];
def rindex($i): indices($i) | .[-1:][0];
def in($xs): . as $x | $xs | has($x);
def contains($other): if type != ($other | type) then
  error("contains needs two values of the same type") else _contains($other) end;
def inside($xs): . as $x | $xs | contains($x);
def isempty(g): first((g | false), true);
def all(g; cond): isempty(g | cond and empty);
def any(g; cond): isempty(g | cond or empty) | not;
def all(cond): all(.[]; cond);
def any(cond): any(.[]; cond);
def all: all(.[]; .);
def any: any(.[]; .);
def IN(s): . as $x | any(s; . == $x);
def IN(source; s): any(source; . as $x | any(s; . == $x));
def INDEX(stream; f): reduce stream as $row ({}; .[$row | f | tostring] |= $row);
def INDEX(f): INDEX(.[]; f);

# Texts
def ascii_downcase: _charge | _ascii_downcase;
def ascii_upcase: _charge | _ascii_upcase;
def startswith($s): if type == "string" and ($s | type) == "string" then _startswith($s)
  else error("startswith needs strings") end;
def endswith($s): if type == "string" and ($s | type) == "string" then _endswith($s)
  else error("endswith needs strings") end;
def trim: _charge | _trim;
def ltrim: _charge | _ltrim;
def rtrim: _charge | _rtrim;
def trimstr($s): ltrimstr($s) | rtrimstr($s);
def split($separator): _split($separator);

# Regular expressions
def _captures: reduce (.captures[] | select(.name != null)) as $c ({}; .[$c.name] = $c.string);
def match($re; $flags): _matches($re; $flags) | .[];
def match($re): match($re; null);
def test($re; $flags): _matches($re; $flags) != [];
def test($re): test($re; null);
def capture($re; $flags): match($re; $flags) | _captures;
def capture($re): capture($re; null);
def scan($re; $flags): match($re; "g" + $flags) | if .captures == [] then .string else [.captures[].string] end;
def scan($re): scan($re; null);
def split($re; $flags): [_pieces($re; "g" + $flags)[] | strings];
def splits($re; $flags): split($re; $flags) | .[];
def splits($re): splits($re; null);
def sub($re; f; $flags): reduce _pieces($re; $flags)[] as $piece
  (""; . + ($piece | if type == "object" then _captures | f else . end));
def sub($re; f): sub($re; f; "");
def gsub($re; f; $flags): sub($re; f; "g" + $flags);
def gsub($re; f): sub($re; f; "g");

# Dates. Errors of the date library quote the text that it could not read, so each is replaced.
def todateiso8601: _date | try _todateiso8601 catch error("todate needs the number of a date");
def fromdateiso8601: try _fromdateiso8601 catch error("fromdate: the string is no date");
def todate: todateiso8601;
def fromdate: fromdateiso8601;
def strftime($format): _date | try _strftime($format) catch error("strftime: the date or the format is invalid");
def gmtime: _date | try _gmtime catch error("gmtime needs the number of a date");
def strptime($format): try _strptime($format) catch error("strptime: the string is no date in this format");
def mktime: _date | try _mktime catch error("mktime: the array is no date");

# Formats
def @json: tojson;
def @text: tostring;
def @html: tostring | _html;
def @uri: tostring | _charge | _encode_uri;
def @urid: tostring | _charge | _decode_uri;
def @base64: tostring | _charge | _encode_base64;
def @base64d: tostring | _charge | try _decode_base64 catch error("@base64d: the string is not base64");
def _row: if type == "array" then . else error("a row must be an array") end;
def @csv: [_row[] | _csv] | join(",");
def @tsv: [_row[] | _tsv] | join("\t");
def @sh: [if type == "array" then .[] else . end
  | if type == "string" then "'\(_sh)'"
    elif type == "array" or type == "object" then error("@sh cannot quote arrays and objects inside an array")
    else tojson end] | join(" ");
