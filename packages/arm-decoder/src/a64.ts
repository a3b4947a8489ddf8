/** All rows of A64, and the look-up by encoding. */
import { conditionsOf } from './conditions.ts'
import { allocatedLoadStoreA64, isLoadStoreA64, loadStoreFormsA64 } from './load-store-a64.ts'
import { Matcher } from './matcher.ts'
import { compileRow, expandChoices, type Form, parseRows, type Row } from './row.ts'
import { a64IntegerAliases, a64IntegerRows } from './table/a64-integer.ts'
import { a64VectorAliases, a64VectorRows } from './table/a64-vector.ts'
import { floatVectorRows, shiftVectorRows } from './vector-sizes.ts'

/**
 * A64: scalar floating point. See `row.ts` for the language.
 *
 * Fields: `d` `n` `m` `a` registers, `y` precision (0 single, 1 double, 3 half), `f` width of a general-purpose register, `s`
 * 64 less the bits of a fraction, `i` an immediate, `c` a condition, `v` flags.
 *
 * Source: Arm ARM (DDI 0487), "Data Processing -- Scalar Floating-Point and Advanced SIMD".
 */
const a64FloatRows: string = `
f 0011110 yy 0 00 01L ssssss nnnnn ddddd     (SCVTF|UCVTF)    <Fd>, <Rn>, <#64-s>   convert y!=2 fraction
f 0011110 yy 0 11 00L ssssss nnnnn ddddd     (FCVTZS|FCVTZU)  <Rd>, <Fn>, <#64-s>   convert y!=2 fraction
f 0011110 yy 1 00 00L 000000 nnnnn ddddd     (FCVTNS|FCVTNU)  <Rd>, <Fn>            convert y!=2
f 0011110 yy 1 01 00L 000000 nnnnn ddddd     (FCVTPS|FCVTPU)  <Rd>, <Fn>            convert y!=2
f 0011110 yy 1 10 00L 000000 nnnnn ddddd     (FCVTMS|FCVTMU)  <Rd>, <Fn>            convert y!=2
f 0011110 yy 1 11 00L 000000 nnnnn ddddd     (FCVTZS|FCVTZU)  <Rd>, <Fn>            convert y!=2
f 0011110 yy 1 00 10L 000000 nnnnn ddddd     (FCVTAS|FCVTAU)  <Rd>, <Fn>            convert y!=2
f 0011110 yy 1 00 01L 000000 nnnnn ddddd     (SCVTF|UCVTF)    <Fd>, <Rn>            convert y!=2
0 0011110 00 1 00 110 000000 nnnnn ddddd     FMOV             <Wd>, <Sn>            move
0 0011110 00 1 00 111 000000 nnnnn ddddd     FMOV             <Sd>, <Wn>            move
1 0011110 01 1 00 110 000000 nnnnn ddddd     FMOV             <Xd>, <Dn>            move
1 0011110 01 1 00 111 000000 nnnnn ddddd     FMOV             <Dd>, <Xn>            move
f 0011110 11 1 00 110 000000 nnnnn ddddd     FMOV             <Rd>, <Hn>            move FP16
f 0011110 11 1 00 111 000000 nnnnn ddddd     FMOV             <Hd>, <Rn>            move FP16
1 0011110 10 1 01 110 000000 nnnnn ddddd     FMOV             <Xd>, <Vn>.d[1]       move
1 0011110 10 1 01 111 000000 nnnnn ddddd     FMOV             <Vd>.d[1], <Xn>       move
0 0011110 01 1 11 110 000000 nnnnn ddddd     FJCVTZS          <Wd>, <Dn>            convert JSCVT
00011110 yy 1 0000NN 10000 nnnnn ddddd       (FMOV|FABS|FNEG|FSQRT)  <Fd>, <Fn>     float y!=2
00011110 01 1 000100 10000 nnnnn ddddd       FCVT             <Sd>, <Dn>            float
00011110 11 1 000100 10000 nnnnn ddddd       FCVT             <Sd>, <Hn>            float
00011110 00 1 000101 10000 nnnnn ddddd       FCVT             <Dd>, <Sn>            float
00011110 11 1 000101 10000 nnnnn ddddd       FCVT             <Dd>, <Hn>            float
00011110 00 1 000111 10000 nnnnn ddddd       FCVT             <Hd>, <Sn>            float
00011110 01 1 000111 10000 nnnnn ddddd       FCVT             <Hd>, <Dn>            float
00011110 01 1 000110 10000 nnnnn ddddd       BFCVT            <Hd>, <Sn>            float BF16
00011110 yy 1 0010NN 10000 nnnnn ddddd       (FRINTN|FRINTP|FRINTM|FRINTZ)  <Fd>, <Fn>   float y!=2
00011110 yy 1 001100 10000 nnnnn ddddd       FRINTA           <Fd>, <Fn>            float y!=2
00011110 yy 1 00111L 10000 nnnnn ddddd       (FRINTX|FRINTI)  <Fd>, <Fn>            float y!=2
00011110 yy 1 0100NN 10000 nnnnn ddddd       (FRINT32Z|FRINT32X|FRINT64Z|FRINT64X)  <Fd>, <Fn>   float bytes=(4|4|8|8) y<2 FRINTTS
00011110 yy 1 mmmmm 00 1000 nnnnn L0000      (FCMP|FCMPE)     <Fn>, <Fm>            float-compare y!=2
00011110 yy 1 ----- 00 1000 nnnnn L1000      (FCMP|FCMPE)     <Fn>, #0.0            float-compare y!=2
00011110 yy 1 iiiiiiii 100 00000 ddddd       FMOV             <Fd>, <float>         float y!=2
00011110 yy 1 mmmmm cccc 01 nnnnn L vvvv     (FCCMP|FCCMPE)   <Fn>, <Fm>, <#v>, <cond>   float-compare y!=2
00011110 yy 1 mmmmm 00NN 10 nnnnn ddddd      (FMUL|FDIV|FADD|FSUB)        <Fd>, <Fn>, <Fm>   float y!=2
00011110 yy 1 mmmmm 01NN 10 nnnnn ddddd      (FMAX|FMIN|FMAXNM|FMINNM)    <Fd>, <Fn>, <Fm>   float y!=2
00011110 yy 1 mmmmm 1000 10 nnnnn ddddd      FNMUL            <Fd>, <Fn>, <Fm>           float y!=2
00011110 yy 1 mmmmm cccc 11 nnnnn ddddd      FCSEL            <Fd>, <Fn>, <Fm>, <cond>   float y!=2
00011111 yy 0 mmmmm L aaaaa nnnnn ddddd      (FMADD|FMSUB)    <Fd>, <Fn>, <Fm>, <Fa>     float y!=2
00011111 yy 1 mmmmm L aaaaa nnnnn ddddd      (FNMADD|FNMSUB)  <Fd>, <Fn>, <Fm>, <Fa>     float y!=2
`

/** Numbers the rows of the table. */
const compile = (rows: readonly Row[], first: number): Form[] =>
  rows.flatMap(expandChoices).map((each, index) => compileRow(each, first + index))

let forms: readonly Form[] | undefined
let matcher: Matcher | undefined
let aliasForms: readonly Form[] | undefined
let aliases: Matcher | undefined

/**
 * Returns the A64 table, one form a row: loads and stores first, then the rest. SVE and SME have only placeholder rows
 * (operation `scalable`). Compiled on first use.
 */
export function a64Forms(): readonly Form[] {
  forms ??= [
    ...loadStoreFormsA64,
    ...compile(
      [
        ...parseRows(a64IntegerRows),
        ...parseRows(a64VectorRows),
        ...floatVectorRows(),
        ...shiftVectorRows(),
        ...parseRows(a64FloatRows),
      ],
      loadStoreFormsA64.length,
    ),
  ]
  return forms
}

const allowed = /*#__PURE__*/ conditionsOf()

const accept = (form: Form, word: number): boolean =>
  isLoadStoreA64(form) ? allocatedLoadStoreA64(form, word) : allowed(form, word)

/**
 * Returns the row of an A64 instruction; undefined if unallocated.
 *
 * @param word - the instruction
 */
export function findA64(word: number): Form | undefined {
  matcher ??= new Matcher(a64Forms())
  return matcher.find(word, accept)
}

/** Returns the rows of aliases, of which the first match applies. */
export function a64Aliases(): readonly Form[] {
  aliasForms ??= compile(
    [...parseRows(a64IntegerAliases), ...parseRows(a64VectorAliases)].map((each) => ({
      ...each,
      attributes: ['alias', ...each.attributes],
    })),
    0,
  )
  return aliasForms
}

/** Returns an instruction's preferred alias, if any: `CMP` for a SUBS without a result. */
export function findA64Alias(word: number): Form | undefined {
  aliases ??= new Matcher(a64Aliases())
  return aliases.find(word, allowed)
}
