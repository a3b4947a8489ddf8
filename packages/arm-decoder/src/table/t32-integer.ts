/**
 * T32: instructions of two halfwords that access no memory, but for VFP and Advanced SIMD. See `row.ts` for the language; the
 * first halfword is in the upper half.
 *
 * Fields as in A32: `d` `n` `m` `a` `t` `u` registers, `s` flags are set, `c` condition, `i` immediate or amount of a shift,
 * `k` kind of shift, `h` upper bits of an immediate, `w` width, `r` rotation or special register, `x` `y` halves of the sources,
 * `o` hint or option. Branches: `x` sign, `j` `k` next bits, `h` upper half of the offset.
 *
 * Source: Arm ARM (DDI 0487), part F, "32-bit T32 instruction encoding".
 */
export const t32IntegerRows: string = `
# Data processing: shifted registers
11101010000 1 nnnn -iii 1111 iikk mmmm      TST<c>.W            <Rn>, <Rm><shift>          compare
11101010000 s nnnn -iii dddd iikk mmmm      AND<s><c>.W         <Rd>, <Rn>, <Rm><shift>    logical
11101010001 s nnnn -iii dddd iikk mmmm      BIC<s><c>.W         <Rd>, <Rn>, <Rm><shift>    logical
11101010010 s 1111 0000 dddd 0000 mmmm      MOV<s><c>.W         <Rd>, <Rm>                 move
11101010010 s 1111 -000 dddd 0011 mmmm      RRX<s><c>           <Rd>, <Rm>                 move
11101010010 s 1111 0iii dddd iikk mmmm      <kind><s><c>.W      <Rd>, <Rm>, <amount>       move
11101010010 s nnnn 0iii dddd iikk mmmm      ORR<s><c>.W         <Rd>, <Rn>, <Rm><shift>    logical
11101010011 s 1111 -iii dddd iikk mmmm      MVN<s><c>.W         <Rd>, <Rm><shift>          logical
11101010011 s nnnn -iii dddd iikk mmmm      ORN<s><c>           <Rd>, <Rn>, <Rm><shift>    logical
11101010100 1 nnnn -iii 1111 iikk mmmm      TEQ<c>.W            <Rn>, <Rm><shift>          compare
11101010100 s nnnn -iii dddd iikk mmmm      EOR<s><c>.W         <Rd>, <Rn>, <Rm><shift>    logical
11101010110 0 nnnn -iii dddd ii00 mmmm      PKHBT<c>            <Rd>, <Rn>, <Rm><lsl>      pack
11101010110 0 nnnn -iii dddd ii10 mmmm      PKHTB<c>            <Rd>, <Rn>, <Rm>, asr <amount>   pack
11101011000 1 nnnn -iii 1111 iikk mmmm      CMN<c>.W            <Rn>, <Rm><shift>          compare
11101011000 s nnnn -iii dddd iikk mmmm      ADD<s><c>.W         <Rd>, <Rn>, <Rm><shift>    add
11101011010 s nnnn -iii dddd iikk mmmm      ADC<s><c>.W         <Rd>, <Rn>, <Rm><shift>    add
11101011011 s nnnn -iii dddd iikk mmmm      SBC<s><c>.W         <Rd>, <Rn>, <Rm><shift>    add
11101011101 1 nnnn -iii 1111 iikk mmmm      CMP<c>.W            <Rn>, <Rm><shift>          compare
11101011101 s nnnn -iii dddd iikk mmmm      SUB<s><c>.W         <Rd>, <Rn>, <Rm><shift>    add
11101011110 s nnnn -iii dddd iikk mmmm      RSB<s><c>           <Rd>, <Rn>, <Rm><shift>    add

# Data processing: modified immediates
11110 i 00000 1 nnnn 0iii 1111 iiiiiiii     TST<c>.W            <Rn>, <constant>           compare
11110 i 00000 s nnnn 0iii dddd iiiiiiii     AND<s><c>           <Rd>, <Rn>, <constant>     logical
11110 i 00001 s nnnn 0iii dddd iiiiiiii     BIC<s><c>           <Rd>, <Rn>, <constant>     logical
11110 i 00010 s 1111 0iii dddd iiiiiiii     MOV<s><c>.W         <Rd>, <constant>           move
11110 i 00010 s nnnn 0iii dddd iiiiiiii     ORR<s><c>           <Rd>, <Rn>, <constant>     logical
11110 i 00011 s 1111 0iii dddd iiiiiiii     MVN<s><c>           <Rd>, <constant>           move
11110 i 00011 s nnnn 0iii dddd iiiiiiii     ORN<s><c>           <Rd>, <Rn>, <constant>     logical
11110 i 00100 1 nnnn 0iii 1111 iiiiiiii     TEQ<c>.W            <Rn>, <constant>           compare
11110 i 00100 s nnnn 0iii dddd iiiiiiii     EOR<s><c>           <Rd>, <Rn>, <constant>     logical
11110 i 01000 1 nnnn 0iii 1111 iiiiiiii     CMN<c>.W            <Rn>, <constant>           compare
11110 i 01000 s nnnn 0iii dddd iiiiiiii     ADD<s><c>.W         <Rd>, <Rn>, <constant>     add
11110 i 01010 s nnnn 0iii dddd iiiiiiii     ADC<s><c>           <Rd>, <Rn>, <constant>     add
11110 i 01011 s nnnn 0iii dddd iiiiiiii     SBC<s><c>           <Rd>, <Rn>, <constant>     add
11110 i 01101 1 nnnn 0iii 1111 iiiiiiii     CMP<c>.W            <Rn>, <constant>           compare
11110 i 01101 s nnnn 0iii dddd iiiiiiii     SUB<s><c>.W         <Rd>, <Rn>, <constant>     add
11110 i 01110 s nnnn 0iii dddd iiiiiiii     RSB<s><c>.W         <Rd>, <Rn>, <constant>     add

# Data processing: plain immediates
11110 i 100000 1111 0iii dddd iiiiiiii      ADR<c>.W            <Rd>, <#i>                 address
11110 i 100000 nnnn 0iii dddd iiiiiiii      ADDW<c>             <Rd>, <Rn>, <#i>           add
11110 i 100100 hhhh 0iii dddd iiiiiiii      MOVW<c>             <Rd>, <#hi>                move
11110 0 101010 1111 0000 dddd 00000000      SUBW<c>             <Rd>, pc, #0               address
11110 i 101010 1111 0iii dddd iiiiiiii      ADR<c>.W            <Rd>, <minus>              address
11110 i 101010 nnnn 0iii dddd iiiiiiii      SUBW<c>             <Rd>, <Rn>, <#i>           add
11110 i 101100 hhhh 0iii dddd iiiiiiii      MOVT<c>             <Rd>, <#hi>                move
11110 0 110010 nnnn 0000 dddd 000 wwwww     SSAT16<c>           <Rd>, <#w+1>, <Rn>         saturate w<16
11110 0 1100 k0 nnnn 0iii dddd ii0 wwwww    SSAT<c>             <Rd>, <#w+1>, <Rn><saturated>   saturate ki!=32
11110 - 110100 nnnn 0iii dddd ii- wwwww     SBFX<c>             <Rd>, <Rn>, <#i>, <#w+1>   bitfield
11110 0 110110 1111 0iii dddd ii0 wwwww     BFC<c>              <Rd>, <#i>, <width>        bitfield i<=w
11110 0 110110 nnnn 0iii dddd ii0 wwwww     BFI<c>              <Rd>, <Rn>, <#i>, <width>  bitfield i<=w
11110 0 111010 nnnn 0000 dddd 000 wwwww     USAT16<c>           <Rd>, <#w>, <Rn>           saturate w<16
11110 0 1110 k0 nnnn 0iii dddd ii0 wwwww    USAT<c>             <Rd>, <#w>, <Rn><saturated>   saturate ki!=32
11110 - 111100 nnnn 0iii dddd ii- wwwww     UBFX<c>             <Rd>, <Rn>, <#i>, <#w+1>   bitfield

# Data processing: registers
11111010 0 NN s nnnn 1111 dddd 0000 mmmm    (LSL|LSR|ASR|ROR)<s><c>.W   <Rd>, <Rn>, <Rm>   shift
11111010 0 00 L 1111 1111 dddd 1-rr mmmm    (SXTH|UXTH)<c>.W    <Rd>, <Rm><rotated>        extend bytes=2
11111010 0 01 L 1111 1111 dddd 1-rr mmmm    (SXTB16|UXTB16)<c>  <Rd>, <Rm><rotated>        extend
11111010 0 10 L 1111 1111 dddd 1-rr mmmm    (SXTB|UXTB)<c>.W    <Rd>, <Rm><rotated>        extend bytes=1
11111010 0 00 L nnnn 1111 dddd 1-rr mmmm    (SXTAH|UXTAH)<c>    <Rd>, <Rn>, <Rm><rotated>  extend bytes=2
11111010 0 01 L nnnn 1111 dddd 1-rr mmmm    (SXTAB16|UXTAB16)<c>  <Rd>, <Rn>, <Rm><rotated>  extend
11111010 0 10 L nnnn 1111 dddd 1-rr mmmm    (SXTAB|UXTAB)<c>    <Rd>, <Rn>, <Rm><rotated>  extend bytes=1
11111010 1000 nnnn 1111 dddd 00NN mmmm      (SADD8|QADD8|SHADD8|.)<c>     <Rd>, <Rn>, <Rm>   parallel
11111010 1001 nnnn 1111 dddd 00NN mmmm      (SADD16|QADD16|SHADD16|.)<c>  <Rd>, <Rn>, <Rm>   parallel
11111010 1010 nnnn 1111 dddd 00NN mmmm      (SASX|QASX|SHASX|.)<c>        <Rd>, <Rn>, <Rm>   parallel
11111010 1100 nnnn 1111 dddd 00NN mmmm      (SSUB8|QSUB8|SHSUB8|.)<c>     <Rd>, <Rn>, <Rm>   parallel
11111010 1101 nnnn 1111 dddd 00NN mmmm      (SSUB16|QSUB16|SHSUB16|.)<c>  <Rd>, <Rn>, <Rm>   parallel
11111010 1110 nnnn 1111 dddd 00NN mmmm      (SSAX|QSAX|SHSAX|.)<c>        <Rd>, <Rn>, <Rm>   parallel
11111010 1000 nnnn 1111 dddd 01NN mmmm      (UADD8|UQADD8|UHADD8|.)<c>     <Rd>, <Rn>, <Rm>   parallel
11111010 1001 nnnn 1111 dddd 01NN mmmm      (UADD16|UQADD16|UHADD16|.)<c>  <Rd>, <Rn>, <Rm>   parallel
11111010 1010 nnnn 1111 dddd 01NN mmmm      (UASX|UQASX|UHASX|.)<c>        <Rd>, <Rn>, <Rm>   parallel
11111010 1100 nnnn 1111 dddd 01NN mmmm      (USUB8|UQSUB8|UHSUB8|.)<c>     <Rd>, <Rn>, <Rm>   parallel
11111010 1101 nnnn 1111 dddd 01NN mmmm      (USUB16|UQSUB16|UHSUB16|.)<c>  <Rd>, <Rn>, <Rm>   parallel
11111010 1110 nnnn 1111 dddd 01NN mmmm      (USAX|UQSAX|UHSAX|.)<c>        <Rd>, <Rn>, <Rm>   parallel
11111010 1000 nnnn 1111 dddd 10NN mmmm      (QADD|QDADD|QSUB|QDSUB)<c>  <Rd>, <Rm>, <Rn>   saturate
11111010 1001 nnnn 1111 dddd 10NN mmmm      (REV|REV16|.|REVSH)<c>.W  <Rd>, <Rm>           reverse n=m
11111010 1001 nnnn 1111 dddd 1010 mmmm      RBIT<c>             <Rd>, <Rm>                 reverse n=m
11111010 1010 nnnn 1111 dddd 1000 mmmm      SEL<c>              <Rd>, <Rn>, <Rm>           select
11111010 1011 nnnn 1111 dddd 1000 mmmm      CLZ<c>              <Rd>, <Rm>                 reverse n=m
11111010 1100 nnnn 1111 dddd 10NN mmmm      (CRC32B|CRC32H|CRC32W|.)     <Rd>, <Rn>, <Rm>  crc bytes=(1|2|4|8) CRC32
11111010 1101 nnnn 1111 dddd 10NN mmmm      (CRC32CB|CRC32CH|CRC32CW|.)  <Rd>, <Rn>, <Rm>  crc bytes=(1|2|4|8) castagnoli CRC32

# Multiplication, division
11111011 0000 nnnn 1111 dddd 0000 mmmm      MUL<c>              <Rd>, <Rn>, <Rm>           multiply
11111011 0000 nnnn aaaa dddd 000L mmmm      (MLA|MLS)<c>        <Rd>, <Rn>, <Rm>, <Ra>     multiply
11111011 0001 nnnn 1111 dddd 00xy mmmm      SMUL<x><y><c>       <Rd>, <Rn>, <Rm>           multiply
11111011 0001 nnnn aaaa dddd 00xy mmmm      SMLA<x><y><c>       <Rd>, <Rn>, <Rm>, <Ra>     multiply
11111011 0010 nnnn 1111 dddd 000L mmmm      (SMUAD|SMUADX)<c>   <Rd>, <Rn>, <Rm>           multiply
11111011 0010 nnnn aaaa dddd 000L mmmm      (SMLAD|SMLADX)<c>   <Rd>, <Rn>, <Rm>, <Ra>     multiply
11111011 0011 nnnn 1111 dddd 000y mmmm      SMULW<y><c>         <Rd>, <Rn>, <Rm>           multiply
11111011 0011 nnnn aaaa dddd 000y mmmm      SMLAW<y><c>         <Rd>, <Rn>, <Rm>, <Ra>     multiply
11111011 0100 nnnn 1111 dddd 000L mmmm      (SMUSD|SMUSDX)<c>   <Rd>, <Rn>, <Rm>           multiply
11111011 0100 nnnn aaaa dddd 000L mmmm      (SMLSD|SMLSDX)<c>   <Rd>, <Rn>, <Rm>, <Ra>     multiply
11111011 0101 nnnn 1111 dddd 000L mmmm      (SMMUL|SMMULR)<c>   <Rd>, <Rn>, <Rm>           multiply
11111011 0101 nnnn aaaa dddd 000L mmmm      (SMMLA|SMMLAR)<c>   <Rd>, <Rn>, <Rm>, <Ra>     multiply
11111011 0110 nnnn aaaa dddd 000L mmmm      (SMMLS|SMMLSR)<c>   <Rd>, <Rn>, <Rm>, <Ra>     multiply
11111011 0111 nnnn 1111 dddd 0000 mmmm      USAD8<c>            <Rd>, <Rn>, <Rm>           differences
11111011 0111 nnnn aaaa dddd 0000 mmmm      USADA8<c>           <Rd>, <Rn>, <Rm>, <Ra>     differences
11111011 10L0 nnnn aaaa dddd 0000 mmmm      (SMULL|UMULL)<c>    <Ra>, <Rd>, <Rn>, <Rm>     multiply-long
11111011 10L1 nnnn 1111 dddd 1111 mmmm      (SDIV|UDIV)<c>      <Rd>, <Rn>, <Rm>           divide
11111011 11L0 nnnn aaaa dddd 0000 mmmm      (SMLAL|UMLAL)<c>    <Ra>, <Rd>, <Rn>, <Rm>     multiply-long accumulate
11111011 1100 nnnn aaaa dddd 10xy mmmm      SMLAL<x><y><c>      <Ra>, <Rd>, <Rn>, <Rm>     multiply-long
11111011 1100 nnnn aaaa dddd 110L mmmm      (SMLALD|SMLALDX)<c>  <Ra>, <Rd>, <Rn>, <Rm>    multiply-long dual
11111011 1101 nnnn aaaa dddd 110L mmmm      (SMLSLD|SMLSLDX)<c>  <Ra>, <Rd>, <Rn>, <Rm>    multiply-long dual
11111011 1110 nnnn aaaa dddd 0110 mmmm      UMAAL<c>            <Ra>, <Rd>, <Rn>, <Rm>     multiply-long

# Branches, exceptions
11110 x cccc hhhhhh 10 j 0 k iiiiiiiiiii    B<c>.W              <label>                    branch c<14
11110 x hhhhhhhhhh 10 j 1 k iiiiiiiiiii     B<c>.W              <label>                    branch
11110 x hhhhhhhhhh 11 j 1 k iiiiiiiiiii     BL<c>               <label>                    branch
11110 x hhhhhhhhhh 11 j 0 k iiiiiiiiii 0    BLX<c>              <label>                    branch
11110 0111100 mmmm 1000 1111 0000 0000      BXJ<c>              <Rm>                       branch
11110 0111101 1110 1000 1111 00000000       ERET<c>             .                          system
11110 0111101 1110 1000 1111 iiiiiiii       SUBS<c>             pc, lr, <#i>               system
11110 1111110 iiii 1000 iiiiiiiiiiii        HVC.W               <#i>                       exception
11110 1111111 iiii 1000 ------------        SMC<c>              <#i>                       exception
11110 1111111 iiii 1010 iiiiiiiiiiii        UDF.W               <#i>                       exception
11110 1111000 1111 1000 0000 0000 00NN      (.|DCPS1|DCPS2|DCPS3)  .                       exception

# Hints, barriers, system
11110 0111010 1111 10000 001 000 wwwww      CPS                 <#w>                       system
11110 0111010 1111 10000 1L0 iii 00000      (CPSIE|CPSID).W     <aif>                      system
11110 0111010 1111 10000 1L1 iii wwwww      (CPSIE|CPSID)       <aif>, <#w>                system
11110 0111010 1111 10000 000 00010000       ESB<c>.W            .                          hint RAS
11110 0111010 1111 10000 000 00010010       TSB<c>              csync                      hint TRF
11110 0111010 1111 10000 000 00010100       CSDB<c>             .                          hint
11110 0111010 1111 10000 000 1111 oooo      DBG<c>              <#o>                       hint
11110 0111010 1111 10000 000 oooooooo       <hint><c>.W         <hint-operand>             hint
11110 0111011 1111 1000 1111 0010 1111      CLREX<c>            .                          barrier
11110 0111011 1111 1000 1111 0100 0L00      (SSBB|PSSBB)        .                          barrier
11110 0111011 1111 1000 1111 0100 oooo      DSB<c>              <option>                   barrier
11110 0111011 1111 1000 1111 0101 oooo      DMB<c>              <option>                   barrier
11110 0111011 1111 1000 1111 0110 oooo      ISB<c>              <instruction-option>       barrier
11110 0111011 ---- 10-0 ---- 0111 ----      SB                  .                          barrier SB
11110 011111 r 1111 1000 dddd 0000 0000     MRS<c>              <Rd>, <psr>                system
11110 011111 r pppp 1000 dddd 001p 0000     MRS<c>              <Rd>, <banked>             system banked
11110 011100 r nnnn 1000 oooo 0000 0000     MSR<c>              <psr-fields>, <Rn>         system ro!=0
11110 011100 r nnnn 1000 pppp 001p 0000     MSR<c>              <banked>, <Rn>             system banked
`
