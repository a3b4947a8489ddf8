/**
 * T16: instructions of one halfword that access no memory. See `row.ts` for the language.
 *
 * Fields: `d` `n` `m` registers (`d` or `n` is also the first source where there is no other), `i` immediate, `c` condition,
 * `o` hint, `x` sign of an offset.
 *
 * Source: Arm ARM (DDI 0487), part F, "16-bit T32 instruction encoding".
 */
export const t16IntegerRows: string = `
# Shifts, additions, comparisons
00000 00000 mmm ddd       MOVS         <Rd>, <Rm>                move
00000 iiiii mmm ddd       LSL<s><c>    <Rd>, <Rm>, <#i>          shift
00001 iiiii mmm ddd       LSR<s><c>    <Rd>, <Rm>, <amount>      shift
00010 iiiii mmm ddd       ASR<s><c>    <Rd>, <Rm>, <amount>      shift
000110 L mmm nnn ddd      (ADD|SUB)<s><c>  <Rd>, <Rn>, <Rm>      add
000111 L iii nnn ddd      (ADD|SUB)<s><c>  <Rd>, <Rn>, <#i>      add
00100 ddd iiiiiiii        MOV<s><c>    <Rd>, <#i>                move
00101 nnn iiiiiiii        CMP<c>       <Rn>, <#i>                compare
0011 L ddd iiiiiiii       (ADD|SUB)<s><c>  <Rd>, <#i>            add

# Two registers
010000 00NN mmm ddd       (AND|EOR|LSL|LSR)<s><c>   <Rd>, <Rm>   logical
010000 01NN mmm ddd       (ASR|ADC|SBC|ROR)<s><c>   <Rd>, <Rm>   logical
010000 1000 mmm nnn       TST<c>       <Rn>, <Rm>                compare
010000 1001 nnn ddd       RSB<s><c>    <Rd>, <Rn>, #0            add
010000 101L mmm nnn       (CMP|CMN)<c>  <Rn>, <Rm>               compare
010000 1100 mmm ddd       ORR<s><c>    <Rd>, <Rm>                logical
010000 1101 nnn ddd       MUL<s><c>    <Rd>, <Rn>, <Rd>          multiply
010000 111L mmm ddd       (BIC|MVN)<s><c>  <Rd>, <Rm>            logical

# High registers
01000100 d 1101 ddd       ADD<c>       <Rd>, sp, <Rd>            add
01000100 d mmmm ddd       ADD<c>       <Rd>, <Rm>                add
01000101 n mmmm nnn       CMP<c>       <Rn>, <Rm>                compare
01000110 d mmmm ddd       MOV<c>       <Rd>, <Rm>                move
01000111 0 mmmm ---       BX<c>        <Rm>                      branch
01000111 1 mmmm 000       BLX<c>       <Rm>                      branch

# Addresses
10100 ddd iiiiiiii        ADR<c>       <Rd>, <#i*4>              address
10101 ddd iiiiiiii        ADD<c>       <Rd>, sp, <#i*4>          add
10110000 L iiiiiii        (ADD|SUB)<c>  sp, <#i*4>               add

# Miscellaneous
1011 00i1 iiiii nnn       CBZ          <Rn>, <compare>           branch
1011 10i1 iiiii nnn       CBNZ         <Rn>, <compare>           branch
10110010 NN mmm ddd       (SXTH|SXTB|UXTH|UXTB)<c>  <Rd>, <Rm>   extend bytes=(2|1|2|1)
10110110000 - i ---       SETPAN       <#i>                      system PAN
10110110010 1 L 000       SETEND       (le|be)                   system
10110110011 L 0 iii       (CPSIE|CPSID)  <aif>                   system
10111010 0L mmm ddd       (REV|REV16)<c>  <Rd>, <Rm>             reverse
10111010 11 mmm ddd       REVSH<c>     <Rd>, <Rm>                reverse
10111010 10 iiiiii        HLT          <#i>                      exception
10111110 iiiiiiii         BKPT         <#i>                      exception
10111111 0000 0000        NOP<c>       .                         hint
10111111 0001 0000        YIELD<c>     .                         hint
10111111 0010 0000        WFE<c>       .                         hint
10111111 0011 0000        WFI<c>       .                         hint
10111111 0100 0000        SEV<c>       .                         hint
10111111 0101 0000        SEVL<c>      .                         hint
10111111 oooo 0000        HINT<c>      <#o>                      hint
10111111 cccc iiii        IT<block>    <first>                   if-then

# Branches
11011110 iiiiiiii         UDF          <#i>                      exception
11011111 iiiiiiii         SVC<c>       <#i>                      exception
1101 cccc iiiiiiii        B<c>         <label>                   branch
11100 iiiiiiiiiii         B<c>         <label>                   branch
`
