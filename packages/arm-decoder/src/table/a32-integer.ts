/**
 * A32: instructions that access no memory, but for VFP and Advanced SIMD. See `row.ts` for the language.
 *
 * Fields: `d` `n` `m` `a` `t` `u` registers, `s` flags are set, `c` condition, `i` immediate or amount of a shift, `k` kind of
 * shift, `h` upper bits of an immediate, `w` width or least significant bit, `r` rotation or special register, `x` `y` halves
 * of the sources, `o` `q` hint, option, operation of a coprocessor, `p` banked register.
 *
 * Source: Arm ARM (DDI 0487), part F, "A32 instruction set encoding".
 */
export const a32IntegerRows: string = `
# Data processing: shifted by an immediate, by a register, and with an immediate
cccc 000 00NN s nnnn dddd iiiii kk 0 mmmm   (AND|EOR|SUB|RSB)<s><c>   <Rd>, <Rn>, <Rm><shift>   logical
cccc 000 01NN s nnnn dddd iiiii kk 0 mmmm   (ADD|ADC|SBC|RSC)<s><c>   <Rd>, <Rn>, <Rm><shift>   add
cccc 000 10NN 1 nnnn ---- iiiii kk 0 mmmm   (TST|TEQ|CMP|CMN)<c>      <Rn>, <Rm><shift>         compare
cccc 000 11L0 s nnnn dddd iiiii kk 0 mmmm   (ORR|BIC)<s><c>           <Rd>, <Rn>, <Rm><shift>   logical
cccc 000 1101 s 0000 dddd 00000 00 0 mmmm   MOV<s><c>                 <Rd>, <Rm>                move
cccc 000 1101 s 0000 dddd 00000 11 0 mmmm   RRX<s><c>                 <Rd>, <Rm>                move
cccc 000 1101 s 0000 dddd iiiii kk 0 mmmm   <kind><s><c>              <Rd>, <Rm>, <amount>      move
cccc 000 1111 s ---- dddd iiiii kk 0 mmmm   MVN<s><c>                 <Rd>, <Rm><shift>         logical
cccc 000 00NN s nnnn dddd aaaa 0kk1 mmmm    (AND|EOR|SUB|RSB)<s><c>   <Rd>, <Rn>, <Rm>, <kind> <Ra>   logical
cccc 000 01NN s nnnn dddd aaaa 0kk1 mmmm    (ADD|ADC|SBC|RSC)<s><c>   <Rd>, <Rn>, <Rm>, <kind> <Ra>   add
cccc 000 10NN 1 nnnn ---- aaaa 0kk1 mmmm    (TST|TEQ|CMP|CMN)<c>      <Rn>, <Rm>, <kind> <Ra>         compare
cccc 000 11L0 s nnnn dddd aaaa 0kk1 mmmm    (ORR|BIC)<s><c>           <Rd>, <Rn>, <Rm>, <kind> <Ra>   logical
cccc 000 1101 s 0000 dddd aaaa 0kk1 mmmm    <kind><s><c>              <Rd>, <Rm>, <Ra>                move
cccc 000 1111 s ---- dddd aaaa 0kk1 mmmm    MVN<s><c>                 <Rd>, <Rm>, <kind> <Ra>         logical
cccc 001 00NN s nnnn dddd iiiiiiiiiiii      (AND|EOR|SUB|RSB)<s><c>   <Rd>, <Rn>, <constant>       logical
cccc 001 01NN s nnnn dddd iiiiiiiiiiii      (ADD|ADC|SBC|RSC)<s><c>   <Rd>, <Rn>, <constant>       add
cccc 001 10NN 1 nnnn ---- iiiiiiiiiiii      (TST|TEQ|CMP|CMN)<c>      <Rn>, <constant>             compare
cccc 001 11L0 s nnnn dddd iiiiiiiiiiii      (ORR|BIC)<s><c>           <Rd>, <Rn>, <constant>       logical
cccc 001 11L1 s 0000 dddd iiiiiiiiiiii      (MOV|MVN)<s><c>           <Rd>, <constant>             move
cccc 001 10L0 0 hhhh dddd iiiiiiiiiiii      (MOVW|MOVT)<c>            <Rd>, <#hi>                  move

# Multiplication, saturation, division
cccc 0000 000 s dddd ---- mmmm 1001 nnnn    MUL<s><c>                 <Rd>, <Rn>, <Rm>             multiply
cccc 0000 001 s dddd aaaa mmmm 1001 nnnn    MLA<s><c>                 <Rd>, <Rn>, <Rm>, <Ra>       multiply
cccc 0000 0100 dddd aaaa mmmm 1001 nnnn     UMAAL<c>                  <Ra>, <Rd>, <Rn>, <Rm>       multiply-long
cccc 0000 0110 dddd aaaa mmmm 1001 nnnn     MLS<c>                    <Rd>, <Rn>, <Rm>, <Ra>       multiply
cccc 0000 1NN s dddd aaaa mmmm 1001 nnnn    (UMULL|UMLAL|SMULL|SMLAL)<s><c>  <Ra>, <Rd>, <Rn>, <Rm>   multiply-long (|accumulate||accumulate)
cccc 00010 000 dddd aaaa mmmm 1yx0 nnnn     SMLA<x><y><c>             <Rd>, <Rn>, <Rm>, <Ra>       multiply
cccc 00010 010 dddd aaaa mmmm 1y00 nnnn     SMLAW<y><c>               <Rd>, <Rn>, <Rm>, <Ra>       multiply
cccc 00010 010 dddd ---- mmmm 1y10 nnnn     SMULW<y><c>               <Rd>, <Rn>, <Rm>             multiply
cccc 00010 100 dddd aaaa mmmm 1yx0 nnnn     SMLAL<x><y><c>            <Ra>, <Rd>, <Rn>, <Rm>       multiply-long
cccc 00010 110 dddd ---- mmmm 1yx0 nnnn     SMUL<x><y><c>             <Rd>, <Rn>, <Rm>             multiply
cccc 00010 NN0 nnnn dddd ---- 0101 mmmm     (QADD|QSUB|QDADD|QDSUB)<c>  <Rd>, <Rm>, <Rn>           saturate
cccc 01110 000 dddd 1111 mmmm 00L1 nnnn     (SMUAD|SMUADX)<c>         <Rd>, <Rn>, <Rm>             multiply
cccc 01110 000 dddd 1111 mmmm 01L1 nnnn     (SMUSD|SMUSDX)<c>         <Rd>, <Rn>, <Rm>             multiply
cccc 01110 000 dddd aaaa mmmm 00L1 nnnn     (SMLAD|SMLADX)<c>         <Rd>, <Rn>, <Rm>, <Ra>       multiply
cccc 01110 000 dddd aaaa mmmm 01L1 nnnn     (SMLSD|SMLSDX)<c>         <Rd>, <Rn>, <Rm>, <Ra>       multiply
cccc 01110 0L1 dddd 1111 mmmm 0001 nnnn     (SDIV|UDIV)<c>            <Rd>, <Rn>, <Rm>             divide
cccc 01110 100 dddd aaaa mmmm 00L1 nnnn     (SMLALD|SMLALDX)<c>       <Ra>, <Rd>, <Rn>, <Rm>       multiply-long dual
cccc 01110 100 dddd aaaa mmmm 01L1 nnnn     (SMLSLD|SMLSLDX)<c>       <Ra>, <Rd>, <Rn>, <Rm>       multiply-long dual
cccc 01110 101 dddd 1111 mmmm 00L1 nnnn     (SMMUL|SMMULR)<c>         <Rd>, <Rn>, <Rm>             multiply
cccc 01110 101 dddd aaaa mmmm 00L1 nnnn     (SMMLA|SMMLAR)<c>         <Rd>, <Rn>, <Rm>, <Ra>       multiply
cccc 01110 101 dddd aaaa mmmm 11L1 nnnn     (SMMLS|SMMLSR)<c>         <Rd>, <Rn>, <Rm>, <Ra>       multiply
cccc 01111 000 dddd 1111 mmmm 0001 nnnn     USAD8<c>                  <Rd>, <Rn>, <Rm>             differences
cccc 01111 000 dddd aaaa mmmm 0001 nnnn     USADA8<c>                 <Rd>, <Rn>, <Rm>, <Ra>       differences

# Parallel additions; packing, saturation, extension, reversal, bit fields
cccc 01100 0NN nnnn dddd ---- 0001 mmmm     (.|SADD16|QADD16|SHADD16)<c>  <Rd>, <Rn>, <Rm>         parallel
cccc 01100 0NN nnnn dddd ---- 0011 mmmm     (.|SASX|QASX|SHASX)<c>        <Rd>, <Rn>, <Rm>         parallel
cccc 01100 0NN nnnn dddd ---- 0101 mmmm     (.|SSAX|QSAX|SHSAX)<c>        <Rd>, <Rn>, <Rm>         parallel
cccc 01100 0NN nnnn dddd ---- 0111 mmmm     (.|SSUB16|QSUB16|SHSUB16)<c>  <Rd>, <Rn>, <Rm>         parallel
cccc 01100 0NN nnnn dddd ---- 1001 mmmm     (.|SADD8|QADD8|SHADD8)<c>     <Rd>, <Rn>, <Rm>         parallel
cccc 01100 0NN nnnn dddd ---- 1111 mmmm     (.|SSUB8|QSUB8|SHSUB8)<c>     <Rd>, <Rn>, <Rm>         parallel
cccc 01100 1NN nnnn dddd ---- 0001 mmmm     (.|UADD16|UQADD16|UHADD16)<c>  <Rd>, <Rn>, <Rm>        parallel
cccc 01100 1NN nnnn dddd ---- 0011 mmmm     (.|UASX|UQASX|UHASX)<c>        <Rd>, <Rn>, <Rm>        parallel
cccc 01100 1NN nnnn dddd ---- 0101 mmmm     (.|USAX|UQSAX|UHSAX)<c>        <Rd>, <Rn>, <Rm>        parallel
cccc 01100 1NN nnnn dddd ---- 0111 mmmm     (.|USUB16|UQSUB16|UHSUB16)<c>  <Rd>, <Rn>, <Rm>        parallel
cccc 01100 1NN nnnn dddd ---- 1001 mmmm     (.|UADD8|UQADD8|UHADD8)<c>     <Rd>, <Rn>, <Rm>        parallel
cccc 01100 1NN nnnn dddd ---- 1111 mmmm     (.|USUB8|UQSUB8|UHSUB8)<c>     <Rd>, <Rn>, <Rm>        parallel
cccc 01101 000 nnnn dddd iiiii 001 mmmm     PKHBT<c>                  <Rd>, <Rn>, <Rm><lsl>        pack
cccc 01101 000 nnnn dddd iiiii 101 mmmm     PKHTB<c>                  <Rd>, <Rn>, <Rm>, asr <amount>   pack
cccc 01101 000 nnnn dddd ---- 1011 mmmm     SEL<c>                    <Rd>, <Rn>, <Rm>             select
cccc 01101 01w wwww dddd iiiii k01 nnnn     SSAT<c>                   <Rd>, <#w+1>, <Rn><saturated>   saturate
cccc 01101 11w wwww dddd iiiii k01 nnnn     USAT<c>                   <Rd>, <#w>, <Rn><saturated>     saturate
cccc 01101 010 wwww dddd 1111 0011 nnnn     SSAT16<c>                 <Rd>, <#w+1>, <Rn>           saturate
cccc 01101 110 wwww dddd 1111 0011 nnnn     USAT16<c>                 <Rd>, <#w>, <Rn>             saturate
cccc 01101 0NN 1111 dddd rr-- 0111 mmmm     (SXTB16|.|SXTB|SXTH)<c>   <Rd>, <Rm><rotated>          extend bytes=(0|0|1|2)
cccc 01101 1NN 1111 dddd rr-- 0111 mmmm     (UXTB16|.|UXTB|UXTH)<c>   <Rd>, <Rm><rotated>          extend bytes=(0|0|1|2)
cccc 01101 0NN nnnn dddd rr-- 0111 mmmm     (SXTAB16|.|SXTAB|SXTAH)<c>  <Rd>, <Rn>, <Rm><rotated>  extend bytes=(0|0|1|2)
cccc 01101 1NN nnnn dddd rr-- 0111 mmmm     (UXTAB16|.|UXTAB|UXTAH)<c>  <Rd>, <Rn>, <Rm><rotated>  extend bytes=(0|0|1|2)
cccc 01101 L11 1111 dddd 1111 0011 mmmm     (REV|RBIT)<c>             <Rd>, <Rm>                   reverse
cccc 01101 L11 1111 dddd 1111 1011 mmmm     (REV16|REVSH)<c>          <Rd>, <Rm>                   reverse
cccc 0111110 wwwww dddd iiiii 001 1111      BFC<c>                    <Rd>, <#i>, <width>          bitfield i<=w
cccc 0111110 wwwww dddd iiiii 001 nnnn      BFI<c>                    <Rd>, <Rn>, <#i>, <width>    bitfield i<=w
cccc 01111L1 wwwww dddd iiiii 101 nnnn      (SBFX|UBFX)<c>            <Rd>, <Rn>, <#i>, <#w+1>     bitfield
cccc 00010 110 1111 dddd 1111 0001 mmmm     CLZ<c>                    <Rd>, <Rm>                   reverse
1110 00010 NN0 nnnn dddd --0- 0100 mmmm     (CRC32B|CRC32H|CRC32W|.)  <Rd>, <Rn>, <Rm>             crc bytes=(1|2|4|8) CRC32
1110 00010 NN0 nnnn dddd --1- 0100 mmmm     (CRC32CB|CRC32CH|CRC32CW|.)  <Rd>, <Rn>, <Rm>          crc bytes=(1|2|4|8) castagnoli CRC32

# Branches
cccc 1010 iiiiiiiiiiiiiiiiiiiiiiii          B<c>                      <label>                      branch
cccc 1011 iiiiiiiiiiiiiiiiiiiiiiii          BL<c>                     <label>                      branch
1111 101h iiiiiiiiiiiiiiiiiiiiiiii          BLX                       <label>                      branch
cccc 00010010 1111 1111 1111 0001 mmmm      BX<c>                     <Rm>                         branch
cccc 00010010 1111 1111 1111 0010 mmmm      BXJ<c>                    <Rm>                         branch
cccc 00010010 1111 1111 1111 0011 mmmm      BLX<c>                    <Rm>                         branch

# Exceptions and hints
cccc 00010110 0000 0000 0000 0110 1110      ERET<c>                   .                            system
1110 00010000 iiiiiiiiiiii 0111 iiii        HLT                       <#i>                         exception
1110 00010010 iiiiiiiiiiii 0111 iiii        BKPT                      <#i>                         exception
cccc 00010100 iiiiiiiiiiii 0111 iiii        HVC                       <#i>                         exception
cccc 00010110 0000 0000 0000 0111 iiii      SMC<c>                    <#i>                         exception
cccc 1111 iiiiiiiiiiiiiiiiiiiiiiii          SVC<c>                    <#i>                         exception
1110 01111111 iiiiiiiiiiii 1111 iiii        UDF                       <#i>                         exception
cccc 00110010 0000 1111 0000 00010000       ESB<c>                    .                            hint RAS
1110 00110010 0000 1111 0000 00010010       TSB                       csync                        hint TRF
cccc 00110010 0000 1111 0000 00010100       CSDB<c>                   .                            hint
cccc 00110010 0000 1111 0000 1111oooo       DBG<c>                    <#o>                         hint
cccc 00110010 0000 1111 0000 oooooooo       <hint><c>                 <hint-operand>               hint

# System
cccc 00010 r00 1111 dddd --0- 0000 ----     MRS<c>                    <Rd>, <psr>                  system
cccc 00010 r00 pppp dddd 001p 0000 0000    MRS<c>                    <Rd>, <banked>               system banked
cccc 00010 r10 oooo 1111 0000 0000 nnnn     MSR<c>                    <psr-fields>, <Rn>           system ro!=0
cccc 00010 r10 pppp 1111 001p 0000 nnnn     MSR<c>                    <banked>, <Rn>               system banked
cccc 00110 r10 oooo 1111 iiiiiiiiiiii       MSR<c>                    <psr-fields>, <constant>     system ro!=0
1111 00010000 0010 0000 0000 000 wwwww     CPS                       <#w>                         system
1111 00010000 1L00 0000 000 iii 0 00000     (CPSIE|CPSID)             <aif>                        system
1111 00010000 1L10 0000 000 iii 0 wwwww     (CPSIE|CPSID)             <aif>, <#w>                  system
1111 00010000 0001 000000 i 0 0000 0000       SETEND                 <endian>                     system
1111 00010001 ---- ------ i - 0000 ----       SETPAN                 <#i>                         system PAN
1111 01010111 1111 1111 0000 0001 1111      CLREX                     .                            barrier
1111 01010111 1111 1111 0000 0100 0L00      (SSBB|PSSBB)              .                            barrier
1111 01010111 1111 1111 0000 0100 oooo      DSB                       <option>                     barrier
1111 01010111 1111 1111 0000 0101 oooo      DMB                       <option>                     barrier
1111 01010111 1111 1111 0000 0110 oooo      ISB                       <instruction-option>                     barrier
1111 01010111 ---- ---- ---- 0111 ----      SB                        .                            barrier SB
`

/** Coprocessor instructions: T32 has the same encodings under 1110. */
export const coprocessorIntegerRows: string = `
cccc 1110 ooo 0 nnnn tttt 111L qqq 1 mmmm   MCR<c>   p(14|15), <#o>, <Rt>, c<n>, c<m>, <#q>   coprocessor
cccc 1110 ooo 1 nnnn 1111 111L qqq 1 mmmm   MRC<c>   p(14|15), <#o>, apsr_nzcv, c<n>, c<m>, <#q>   coprocessor
cccc 1110 ooo 1 nnnn tttt 111L qqq 1 mmmm   MRC<c>   p(14|15), <#o>, <Rt>, c<n>, c<m>, <#q>   coprocessor
cccc 1100 0100 uuuu tttt 111L oooo mmmm     MCRR<c>  p(14|15), <#o>, <Rt>, <Ru>, c<m>         coprocessor
cccc 1100 0101 uuuu tttt 111L oooo mmmm     MRRC<c>  p(14|15), <#o>, <Rt>, <Ru>, c<m>         coprocessor
`
