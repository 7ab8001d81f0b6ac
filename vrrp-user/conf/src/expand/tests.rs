//! Rows of text and the lines that the node `main` reads.

use super::*;
use crate::diagnostic::Diagnostic;

/// Words between blanks and braces as they are, lines between `;`.
fn expanded(text: &str) -> (String, Vec<String>) {
    let mut report = Report::default();
    let mut sources = Sources::default();
    let file = sources.add("t".into());
    let lines = expand(text, file, Includes::Refuse, "main".into(), &mut sources, &mut report);
    let shown: Vec<String> = lines.iter().map(show).collect();
    let findings = report.into_diagnostics(&sources).iter().map(Diagnostic::to_string).collect();
    (shown.join("; "), findings)
}

fn show(line: &Line) -> String {
    let tokens: Vec<&str> = line
        .tokens
        .iter()
        .map(|token| match token {
            Token::Word(word) => word.text.as_str(),
            Token::Open(_) => "{",
            Token::Close(_) => "}",
        })
        .collect();
    tokens.join(" ")
}

fn rows(rows: &[(&str, &str)]) {
    for (text, expected) in rows {
        let (lines, findings) = expanded(text);
        assert_eq!((lines.as_str(), findings.as_slice()), (*expected, [].as_slice()), "{text}");
    }
}

fn findings(rows: &[(&str, &str, &[&str])]) {
    for (text, lines, expected) in rows {
        let (found, findings) = expanded(text);
        assert_eq!(
            (found.as_str(), findings),
            (*lines, expected.iter().map(ToString::to_string).collect()),
            "{text}"
        );
    }
}

#[test]
fn conditions_choose_lines_for_a_node() {
    rows(&[
        ("@main a\n@other b\nc", "a; c"),
        ("@^main a\n@^other b", "b"),
        ("@mai a\n@main2 b\n@ c\n@^ d", "d"),
        ("  @main\ta b # c", "a b"),
        ("@main\n@^other\n@other\n@", ""),
        ("@main @^other a\n@main @other b", "a"),
        ("a\n@main {\n@other {\nb\n@main }", "a; {; b; }"),
        ("@other a \\\n b\nc", "c"),
        ("@other $A=1\n@main $A=2\n$A", "2"),
        ("$C=@main\n$C a\n$D=@other\n$D b\n${C} ${C} c", "a; c"),
        ("\"@other\" a", "@other a"),
        ("a @other b", "a @other b"),
    ]);
}

#[test]
fn definitions_are_replaced_where_they_are_used() {
    rows(&[
        ("$A=b c\n$A\nx $A y\n${A}\nx${A}y", "b c; x b c y; b c; xb cy"),
        ("$A=b\n$A,c ($A)", "b,c (b)"),
        ("$A=\nx${A}y $A z", "xy z"),
        ("$A=\"b c\"\nx $A", "x b c"),
        ("$A=b\nx \"y ${A} z\" '$A '", "x y b z b "),
        ("$A=192.0.2.1/24 dev eth0 # not this\nx {\n$A\n}", "x {; 192.0.2.1/24 dev eth0; }"),
        ("x ${_HASH}1 2${_BANG} \"${_HASH}\"", "x #1 2! #"),
        ("$A\n$A=b\n${A}\n$A=c\n${A}", "$A; b; c"),
        ("x $NONE \"${NONE}\" $ $$ $1 ${}", "x $NONE ${NONE} $ $$ $1 ${}"),
        ("$A=b {\n$A\nc\n}", "b {; c; }"),
        ("$A=b\n$ $A", "$ b"),
        ("i ${_INSTANCE} r ${_RANDOM 5 5}", "i main r 5"),
        ("$_PWD=x\n${_PWD}/y", "x/y"),
    ]);
}

#[test]
fn names_in_a_definition_mean_what_they_do_at_its_use() {
    rows(&[
        ("$A=10.2.${B}\n$B=0\n${A}.1\n$B=10\n${A}.1", "10.2.0.1; 10.2.10.1"),
        ("$A=$B\n$B=$C\n$C=d\n$A\nx $A y", "d; x d y"),
        ("$A=x$B\n$B=1\n$A", "x1"),
        ("$A=$B=1\n$A\nx $B", "x 1"),
        ("$A=~SEQ(N,1,2)\n$A x${N}", "x1; x2"),
    ]);
}

#[test]
fn a_definition_of_several_lines_is_read_line_by_line() {
    rows(&[
        ("$A= \\\n b { \\\n c d \\\n }\nx\n$A\ny", "x; b {; c d; }; y"),
        ("$A=b \\\n c\nx $A\ny ${A}", "x b; c; y b; c"),
        ("$A= \\\n@main b \\\n@other c \\\n~SEQ(N,1,2) d${N} \\\n$B=e \\\n$B\n$A\nx $B", "b; d1; d2; e; x e"),
        ("$I= \\\na ${N} { \\\n b \\\n}\n$N=1\n$I\n$N=2\n$I", "a 1 {; b; }; a 2 {; b; }"),
        ("$R=r \\\ns\n$V= \\\nv { \\\n$R \\\n}\n$V", "v {; r; s; }"),
        ("$R=r \\\ns\n$V=v $R\n$V", "v r; s"),
        ("$R=r \\\ns\n$V=$R \\\nt\n$V", "r; s; t"),
        ("$A=b \\\n# not a line\n c\n$A", "b; c"),
        ("$A=b \\\n\n c\n$A", "c; b"),
        ("$A= \\\n~SEQ(N,1,2) x${N} \\\ny\n$A", "x1; x2; y"),
        ("$A= \\\n\n[$A ]", "[ ]"),
    ]);
}

#[test]
fn sequences_and_lists_repeat_a_line() {
    rows(&[
        ("~SEQ(N,0,2) ip 10.0.${N}.1", "ip 10.0.0.1; ip 10.0.1.1; ip 10.0.2.1"),
        ("~SEQx(N,0x90,0x10,0xa0) fe80::${N}:1", "fe80::90:1; fe80::a0:1"),
        ("~LST({A,B}, {1,2},{3,4}) ~SEQ(N,5,6) ${A}.${B}.${N}", "1.2.5; 1.2.6; 3.4.5; 3.4.6"),
        ("~LST(A,1,2) ~LST(B,3,4) ${A}${B}", "13; 14; 23; 24"),
        ("$V= \\\nv ${N} { \\\n}\n~SEQ(N,1,2) $V", "v 1 {; }; v 2 {; }"),
        ("$F=3\n$L=4\n~SEQ(N,$F,${L}) $N x", "3 x; 4 x"),
        ("$S=a\n~LST(N,${S},$S) $N x", "a x; a x"),
        ("~SEQ(N,1,2) @main a${N}\n~SEQ(N,1,2) @other b", "a1; a2"),
        ("@main ~SEQ(N,1,2) a\n@other ~SEQ(N,1,2) b", "a; a"),
        ("~SEQ(N,1,3) $M=$N\nx ${M}", "x 3"),
        ("~SEQ(N,1,2) x { y } # z", "x { y }; x { y }"),
        ("~SEQ(N,1,2)\na ~SEQ(N,1,2)", "a ~SEQ(N,1,2)"),
    ]);
}

#[test]
fn what_is_not_replaced_though_it_looks_like_it_is_named() {
    findings(&[
        (
            "$A=b\nx $A.1",
            "x $A.1",
            &[
                "t:2:3: warning: `$A` is not replaced: no blank follows it\nhelp: write `${A}` to use the definition",
            ],
        ),
        (
            "$PRIORITY=1\nx ${PRIORTIY}",
            "x ${PRIORTIY}",
            &["t:2:3: warning: `$PRIORTIY` is not defined and not replaced\nhelp: did you mean `PRIORITY`?"],
        ),
        ("x ${NONE}", "x ${NONE}", &["t:1:3: warning: `$NONE` is not defined and not replaced"]),
        ("$PRIORITY=1\nx \"echo ${PRIORTIY}\"", "x echo ${PRIORTIY}", &[]),
        (
            "$A=b \\\nc\nx $A y",
            "x $A y",
            &[
                "t:3:3: error: `$A` has several lines, so nothing may follow it on its line\nhelp: it is defined at t:1",
            ],
        ),
        (
            "x ${_ENV VRRPX_NOT_SET}y",
            "x y",
            &[
                "t:1:3: warning: the environment variable `VRRPX_NOT_SET` is not set; `${_ENV VRRPX_NOT_SET}` is empty",
            ],
        ),
        (
            "$A=a\\#b\nx $A y",
            "x a#b y",
            &[
                "t:1:5: warning: to keepalived 2.2.7, a comment begins here, in spite of the backslash\nhelp: put the word in double quotes, without the backslash",
            ],
        ),
        ("x ${_ENV}", "x", &["t:1:3: error: `${_ENV NAME}` takes the name of one environment variable"]),
        (
            "x ${_RANDOM 2 1}",
            "x",
            &["t:1:3: error: `${_RANDOM}` cannot be between 2 and 1: the lowest is above the highest"],
        ),
    ]);
}

#[test]
fn findings_point_to_the_use_and_name_the_definition() {
    findings(&[
        (
            "a\n$Q= \\\n b \"c\n\n $Q",
            "a; b c",
            &[
                "t:5:2: error: the quote \" is not closed on this line (from `$Q`, line 3)\nhelp: close it with \", or write \\\" for a literal one",
            ],
        ),
        ("\n ~SEQ(N,1) ~SEQ(M,x)", "", &["t:2:12: error: `x` is not a number"]),
        ("~LST(N,1,2) ~SEQ(M,$N,x) y", "", &["t:1:13: error: `x` is not a number"]),
        ("~SEQ(1,2", "", &["t:1:1: error: `~SEQ` and `~LST` need `(`, a name, values, and `)`"]),
    ]);
}

#[test]
fn what_grows_without_limit_is_an_error_and_ends_the_reading() {
    let doubled: String = (1..40).map(|n| format!("$A{n}=${{A{0}}}${{A{0}}}\n", n - 1)).collect();
    let chain: String = (1..100).map(|n| format!("$A{n}=${{A{}}}\n", n - 1)).collect();
    let lines: String = (1..40).map(|n| format!("$A{n}= \\\n${{A{0}}} \\\n${{A{0}}}\n", n - 1)).collect();
    for text in [
        "$A=$A\nx $A",
        "$A=$A\n$A",
        "$A=x $A\n$A",
        "$A=${B}${B}\n$B=${A}${A}\nx $A",
        "$A=x \\\n$A\n$A",
        "$A= \\\n$A \\\nx\n$A",
        "~SEQ(N,1,9223372036854775807) x",
        "~SEQ(N,1,9223372036854775807)",
        "~SEQ(N,1,9223372036854775807) $E=",
        "~SEQ(A,1,9999) ~SEQ(B,1,9999) ~SEQ(C,1,9999) ~SEQ(D,1,9999) $A ",
        &format!("{doubled}$A0=x\nx ${{A20}}"),
        &format!("{lines}$A0=x\n$A20"),
        &format!("{chain}$A0=x\nx ${{A99}}"),
        &("~SEQ(A,1,1) ".repeat(50) + "x"),
    ] {
        let (lines, findings) = expanded(&format!("{text}\nb \"c"));
        assert_eq!((lines.as_str(), findings.len()), ("", 1), "{text}: {findings:?}");
        assert!(findings.iter().all(|finding| finding.contains("nothing further is read")), "{findings:?}");
    }
}
