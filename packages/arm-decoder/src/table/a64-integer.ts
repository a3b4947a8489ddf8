/**
 * A64: integer data processing, branches, exceptions and system instructions. See `row.ts` for the language.
 *
 * Fields: `d` `n` `m` `a` `t` registers, `f` their width, `i` `j` immediates, `h` shift of an immediate or its low bits,
 * `p` `r` `j` a bitmask, `k` kind of shift, `s` amount, `e` extension, `c` condition, `v` flags; `o` `q` `y` `w` the
 * numbers of system instructions.
 *
 * Source: Arm ARM (DDI 0487), "A64 Base Instruction Encodings".
 */
export const a64IntegerRows: string = `
# Addresses
0 hh 10000 iiiiiiiiiiiiiiiiiii ddddd         ADR   <Xd>, <adr>          address
1 hh 10000 iiiiiiiiiiiiiiiiiii ddddd         ADRP  <Xd>, <adrp>         address

# Immediate
f L0 100010 h iiiiiiiiiiii nnnnn ddddd       (ADD|SUB)    <RSd>, <RSn>, <imm12>   add (|minus)
f L1 100010 h iiiiiiiiiiii nnnnn ddddd       (ADDS|SUBS)  <Rd>, <RSn>, <imm12>    add (|minus) flags
1 L0 100011 0 iiiiii -- jjjj nnnnn ddddd     (ADDG|SUBG)  <XSd>, <XSn>, <#i*16>, <#j>   tag-add MTE
f 00 1000111 00L0 iiiiiiii nnnnn ddddd       (SMAX|SMIN)  <Rd>, <Rn>, <#±i>       maximum (greater|) CSSC
f 00 1000111 00L1 iiiiiiii nnnnn ddddd       (UMAX|UMIN)  <Rd>, <Rn>, <#i>        maximum (greater|) CSSC
f 0L 100100 p rrrrrr jjjjjj nnnnn ddddd      (AND|ORR)    <RSd>, <Rn>, <bitmask>  logical bitmask
f 10 100100 p rrrrrr jjjjjj nnnnn ddddd      EOR          <RSd>, <Rn>, <bitmask>  logical bitmask
f 11 100100 p rrrrrr jjjjjj nnnnn ddddd      ANDS         <Rd>, <Rn>, <bitmask>   logical bitmask flags
f 00 100101 hh iiiiiiiiiiiiiiii ddddd        MOVN         <Rd>, <imm16>           move-wide wide
f 10 100101 hh iiiiiiiiiiiiiiii ddddd        MOVZ         <Rd>, <imm16>           move-wide wide
f 11 100101 hh iiiiiiiiiiiiiiii ddddd        MOVK         <Rd>, <imm16>           move-wide wide
f 0L 100110 p rrrrrr jjjjjj nnnnn ddddd      (SBFM|BFM)   <Rd>, <Rn>, <#r>, <#j>  bitfield bitfield
f 10 100110 p rrrrrr jjjjjj nnnnn ddddd      UBFM         <Rd>, <Rn>, <#r>, <#j>  bitfield bitfield
f 00 100111 p 0 mmmmm jjjjjj nnnnn ddddd     EXTR         <Rd>, <Rn>, <Rm>, <#j>  extract bitfield

# Register
f NN 01010 kk 0 mmmmm ssssss nnnnn ddddd     (AND|ORR|EOR|ANDS)   <Rd>, <Rn>, <Rm><shift>   logical (|||flags) amount
f NN 01010 kk 1 mmmmm ssssss nnnnn ddddd     (BIC|ORN|EON|BICS)   <Rd>, <Rn>, <Rm><shift>   logical (|||flags) amount
f NN 01011 kk 0 mmmmm ssssss nnnnn ddddd     (ADD|ADDS|SUB|SUBS)  <Rd>, <Rn>, <Rm><shift>   add (|flags||flags) (||minus|minus) amount k!=3
f L0 01011 00 1 mmmmm eee sss nnnnn ddddd    (ADD|SUB)    <RSd>, <RSn>, <extended>   add (|minus) s<5
f L1 01011 00 1 mmmmm eee sss nnnnn ddddd    (ADDS|SUBS)  <Rd>, <RSn>, <extended>    add (|minus) flags s<5
f NN 11010000 mmmmm 000000 nnnnn ddddd       (ADC|ADCS|SBC|SBCS)  <Rd>, <Rn>, <Rm>   add-carry (|flags||flags) (||minus|minus)
1 L0 11010000 mmmmm 001 sss nnnnn ddddd      (ADDPT|SUBPT)  <XSd>, <XSn>, <Xm><lsl>  add-pointer CPA
101 11010000 iiiiii 00001 nnnnn 0 vvvv       RMIF         <Xn>, <#i>, <#v>        flags FlagM
001 11010000 000000 L 0010 nnnnn 0 1101      (SETF8|SETF16)  <Wn>                 flags FlagM
f L1 11010010 mmmmm cccc 00 nnnnn 0 vvvv     (CCMN|CCMP)  <Rn>, <Rm>, <#v>, <cond>     compare-conditional
f L1 11010010 iiiii cccc 10 nnnnn 0 vvvv     (CCMN|CCMP)  <Rn>, <#i>, <#v>, <cond>     compare-conditional
f L0 11010100 mmmmm cccc 00 nnnnn ddddd      (CSEL|CSINV)   <Rd>, <Rn>, <Rm>, <cond>   select
f L0 11010100 mmmmm cccc 01 nnnnn ddddd      (CSINC|CSNEG)  <Rd>, <Rn>, <Rm>, <cond>   select
f 00 11011 000 mmmmm L aaaaa nnnnn ddddd     (MADD|MSUB)      <Rd>, <Rn>, <Rm>, <Ra>   multiply (|minus)
1 00 11011 001 mmmmm L aaaaa nnnnn ddddd     (SMADDL|SMSUBL)  <Xd>, <Wn>, <Wm>, <Xa>   multiply long (|minus)
1 00 11011 101 mmmmm L aaaaa nnnnn ddddd     (UMADDL|UMSUBL)  <Xd>, <Wn>, <Wm>, <Xa>   multiply long (|minus)
1 00 11011 010 mmmmm 0 ----- nnnnn ddddd     SMULH            <Xd>, <Xn>, <Xm>         multiply high
1 00 11011 110 mmmmm 0 ----- nnnnn ddddd     UMULH            <Xd>, <Xn>, <Xm>         multiply high
1 00 11011 011 mmmmm L aaaaa nnnnn ddddd     (MADDPT|MSUBPT)  <Xd>, <Xn>, <Xm>, <Xa>   multiply CPA
f 00 11010110 mmmmm 00001 L nnnnn ddddd      (UDIV|SDIV)      <Rd>, <Rn>, <Rm>         divide
f 00 11010110 mmmmm 0010 NN nnnnn ddddd      (LSL|LSR|ASR|ROR)  <Rd>, <Rn>, <Rm>       shift
0 00 11010110 mmmmm 0100 00 nnnnn ddddd      CRC32B       <Wd>, <Wn>, <Wm>        crc bytes=1 CRC32
0 00 11010110 mmmmm 0100 01 nnnnn ddddd      CRC32H       <Wd>, <Wn>, <Wm>        crc bytes=2 CRC32
0 00 11010110 mmmmm 0100 10 nnnnn ddddd      CRC32W       <Wd>, <Wn>, <Wm>        crc bytes=4 CRC32
1 00 11010110 mmmmm 0100 11 nnnnn ddddd      CRC32X       <Wd>, <Wn>, <Xm>        crc bytes=8 CRC32
0 00 11010110 mmmmm 0101 00 nnnnn ddddd      CRC32CB      <Wd>, <Wn>, <Wm>        crc bytes=1 castagnoli CRC32
0 00 11010110 mmmmm 0101 01 nnnnn ddddd      CRC32CH      <Wd>, <Wn>, <Wm>        crc bytes=2 castagnoli CRC32
0 00 11010110 mmmmm 0101 10 nnnnn ddddd      CRC32CW      <Wd>, <Wn>, <Wm>        crc bytes=4 castagnoli CRC32
1 00 11010110 mmmmm 0101 11 nnnnn ddddd      CRC32CX      <Wd>, <Wn>, <Xm>        crc bytes=8 castagnoli CRC32
f 00 11010110 mmmmm 0110 NN nnnnn ddddd      (SMAX|UMAX|SMIN|UMIN)  <Rd>, <Rn>, <Rm>   maximum (greater|greater||) CSSC
1 00 11010110 mmmmm 000000 nnnnn ddddd       SUBP         <Xd>, <XSn>, <XSm>      tag-subtract MTE
1 01 11010110 mmmmm 000000 nnnnn ddddd       SUBPS        <Xd>, <XSn>, <XSm>      tag-subtract MTE
1 00 11010110 mmmmm 000100 nnnnn ddddd       IRG          <XSd>, <XSn>, <Xm>      tag-insert MTE
1 00 11010110 mmmmm 000101 nnnnn ddddd       GMI          <Xd>, <XSn>, <Xm>       tag-mask MTE
1 00 11010110 mmmmm 001100 nnnnn ddddd       PACGA        <Xd>, <Xn>, <XSm>       pointer-authentication PAuth
f 10 11010110 00000 00000L nnnnn ddddd       (RBIT|REV16)  <Rd>, <Rn>             reverse
0 10 11010110 00000 000010 nnnnn ddddd       REV          <Wd>, <Wn>              reverse
1 10 11010110 00000 00001L nnnnn ddddd       (REV32|REV)  <Xd>, <Xn>              reverse
f 10 11010110 00000 00010L nnnnn ddddd       (CLZ|CLS)    <Rd>, <Rn>              count
f 10 11010110 00000 00011L nnnnn ddddd       (CTZ|CNT)    <Rd>, <Rn>              count CSSC
f 10 11010110 00000 001000 nnnnn ddddd       ABS          <Rd>, <Rn>              absolute CSSC
1 10 11010110 00001 0000NN nnnnn ddddd       (PACIA|PACIB|PACDA|PACDB)  <Xd>, <XSn>   pointer-authentication PAuth
1 10 11010110 00001 0001NN nnnnn ddddd       (AUTIA|AUTIB|AUTDA|AUTDB)  <Xd>, <XSn>   pointer-authentication PAuth
1 10 11010110 00001 0010NN 11111 ddddd       (PACIZA|PACIZB|PACDZA|PACDZB)  <Xd>      pointer-authentication PAuth
1 10 11010110 00001 0011NN 11111 ddddd       (AUTIZA|AUTIZB|AUTDZA|AUTDZB)  <Xd>      pointer-authentication PAuth
1 10 11010110 00001 01000L 11111 ddddd       (XPACI|XPACD)  <Xd>                  pointer-authentication PAuth
1 10 11010110 00001 10000L 11111 11110       (PACNBIASPPC|PACNBIBSPPC)  .         pointer-authentication PAuth_LR
1 10 11010110 00001 10001L 11111 11110       (PACIA171615|PACIB171615)  .         pointer-authentication PAuth_LR
1 10 11010110 00001 10111L 11111 11110       (AUTIA171615|AUTIB171615)  .         pointer-authentication PAuth_LR
1 10 11010110 00001 10100L 11111 11110       (PACIASPPC|PACIBSPPC)  .             pointer-authentication PAuth_LR
1 10 11010110 00001 10010L nnnnn 11110       (AUTIASPPCR|AUTIBSPPCR)  <Xn>        pointer-authentication PAuth_LR

# Branches
L 00101 iiiiiiiiiiiiiiiiiiiiiiiiii           (B|BL)       <label>                 branch
f 011010 L iiiiiiiiiiiiiiiiiii ttttt         (CBZ|CBNZ)   <Rt>, <label>           branch-zero
f 011011 L hhhhh iiiiiiiiiiiiii ttttt        (TBZ|TBNZ)   <Rt>, <bit>, <label>    branch-bit
01010100 iiiiiiiiiiiiiiiiiii 0 cccc          B.<cond>     <label>                 branch-conditional
01010100 iiiiiiiiiiiiiiiiiii 1 cccc          BC.<cond>    <label>                 branch-conditional HBC
f 1110100 0NN mmmmm 00 iiiiiiiii ttttt        (CBGT|CBGE|CBHI|CBHS)      <Rt>, <Rm>, <label>     branch-compare CMPBR
f 1110100 11L mmmmm 00 iiiiiiiii ttttt        (CBEQ|CBNE)                <Rt>, <Rm>, <label>     branch-compare CMPBR
01110100 0NN mmmmm 10 iiiiiiiii ttttt        (CBBGT|CBBGE|CBBHI|CBBHS)  <Wt>, <Wm>, <label>     branch-compare CMPBR
01110100 11L mmmmm 10 iiiiiiiii ttttt        (CBBEQ|CBBNE)              <Wt>, <Wm>, <label>     branch-compare CMPBR
01110100 0NN mmmmm 11 iiiiiiiii ttttt        (CBHGT|CBHGE|CBHHI|CBHHS)  <Wt>, <Wm>, <label>     branch-compare CMPBR
01110100 11L mmmmm 11 iiiiiiiii ttttt        (CBHEQ|CBHNE)              <Wt>, <Wm>, <label>     branch-compare CMPBR
f 1110101 0NN jjjjjj 0 iiiiiiiii ttttt        (CBGT|CBLT|CBHI|CBLO)      <Rt>, <#j>, <label>     branch-compare CMPBR
f 1110101 11L jjjjjj 0 iiiiiiiii ttttt        (CBEQ|CBNE)                <Rt>, <#j>, <label>     branch-compare CMPBR
1101011 0000 11111 000000 nnnnn 00000        BR           <Xn>                    branch-register
1101011 0001 11111 000000 nnnnn 00000        BLR          <Xn>                    branch-register
1101011 0010 11111 000000 nnnnn 00000        RET          <Xn>                    branch-register
1101011 0100 11111 000000 11111 00000        ERET         .                       exception-return
1101011 0101 11111 000000 11111 00000        DRPS         .                       debug-return
1101011 0000 11111 00001L nnnnn 11111        (BRAAZ|BRABZ)    <Xn>                branch-register PAuth
1101011 0001 11111 00001L nnnnn 11111        (BLRAAZ|BLRABZ)  <Xn>                branch-register PAuth
1101011 0010 11111 00001L 11111 11111        (RETAA|RETAB)    .                   branch-register PAuth
1101011 0010 11111 00001L 11111 mmmmm        (RETAASPPCR|RETABSPPCR)  <Xm>        branch-register PAuth_LR
1101011 0100 11111 00001L 11111 11111        (ERETAA|ERETAB)  .                   exception-return PAuth
1101011 1000 11111 00001L nnnnn mmmmm        (BRAA|BRAB)      <Xn>, <XSm>         branch-register PAuth
1101011 1001 11111 00001L nnnnn mmmmm        (BLRAA|BLRAB)    <Xn>, <XSm>         branch-register PAuth
01010101 00L iiiiiiiiiiiiiiii 11111          (RETAASPPC|RETABSPPC)    <back>      branch-register PAuth_LR
1 11 10011 10L iiiiiiiiiiiiiiii 11111        (AUTIASPPC|AUTIBSPPC)    <back>      pointer-authentication PAuth_LR

# Exceptions
11010100 000 iiiiiiiiiiiiiiii 00001          SVC          <0x i>                   exception
11010100 000 iiiiiiiiiiiiiiii 00010          HVC          <0x i>                   exception
11010100 000 iiiiiiiiiiiiiiii 00011          SMC          <0x i>                   exception
11010100 001 iiiiiiiiiiiiiiii 00000          BRK          <0x i>                   exception
11010100 010 iiiiiiiiiiiiiiii 00000          HLT          <0x i>                   exception
11010100 101 0000000000000000 00001          DCPS1        .                       exception
11010100 101 0000000000000000 00010          DCPS2        .                       exception
11010100 101 0000000000000000 00011          DCPS3        .                       exception
11010100 101 iiiiiiiiiiiiiiii 00001          DCPS1        <0x i>                   exception
11010100 101 iiiiiiiiiiiiiiii 00010          DCPS2        <0x i>                   exception
11010100 101 iiiiiiiiiiiiiiii 00011          DCPS3        <0x i>                   exception
0000000000000000 iiiiiiiiiiiiiiii            UDF          <#i>                    undefined

# System
11010101000000110001 0000 00L ttttt          (WFET|WFIT)  <Xt>                    wait WFxT
11010101000000110010 yyyy www 11111          .            <hint>                  hint
11010101000000110011 yyyy 010 11111          CLREX        <crm>                   clear-exclusive
11010101000000110011 0000 100 11111          SSBB         .                       barrier
11010101000000110011 0100 100 11111          PSSBB        .                       barrier
11010101000000110011 yyyy 100 11111          DSB          <barrier>               barrier
11010101000000110011 yyyy 101 11111          DMB          <barrier>               barrier
11010101000000110011 yyyy 110 11111          ISB          <crm>                   barrier
11010101000000110011 ii10 001 11111          DSB          <nxs>                   barrier XS
11010101000000110011 0000 111 11111          SB           .                       barrier SB
1101010100000 000 0100 ---- 000 11111        CFINV        .                       flags FlagM
1101010100000 000 0100 ---- 001 11111        XAFLAG       .                       flags FlagM2
1101010100000 000 0100 ---- 010 11111        AXFLAG       .                       flags FlagM2
1101010100000 ooo 0100 yyyy www 11111        MSR          <pstate>                pstate pstate
1101010100 0 01 ooo qqqq yyyy www ttttt      .            <sys>                   system
1101010100 1 01 ooo qqqq yyyy www ttttt      SYSL         <Xt>, <#o>, c<q>, c<y>, <#w>   system
1101010101 0 01 ooo qqqq yyyy www tttt0      SYSP         <#o>, c<q>, c<y>, <#w>, <pair>   system D128
1101010101 0 01 ooo qqqq yyyy www 11111      SYSP         <#o>, c<q>, c<y>, <#w>           system D128
1101010101 0 1g ooo qqqq yyyy www tttt0      MSRR         <msr>, <pair>           system-register D128
1101010101 1 1g ooo qqqq yyyy www tttt0      MRRS         <pair>, <mrs>           system-register D128
1101010100 0 1g ooo qqqq yyyy www ttttt      MSR          <msr>, <Xt>             system-register
1101010100 1 1g ooo qqqq yyyy www ttttt      MRS          <Xt>, <mrs>             system-register
`

/**
 * Other names by which people know instructions, where a condition holds: the first row that matches is written. The
 * attributes are conditions alone.
 */
export const a64IntegerAliases: string = `
f 00 100010 0 000000000000 nnnnn ddddd       MOV   <RSd>, <RSn>         n=31
f 00 100010 0 000000000000 nnnnn ddddd       MOV   <RSd>, <RSn>         d=31
f L1 100010 h iiiiiiiiiiii nnnnn 11111       (CMN|CMP)   <RSn>, <imm12>
f 11 100100 p rrrrrr jjjjjj nnnnn 11111      TST         <Rn>, <bitmask>
f 01 100100 p rrrrrr jjjjjj 11111 ddddd      MOV         <RSd>, <mask>          not-wide
f 00 100101 hh iiiiiiiiiiiiiiii ddddd        MOV         <Rd>, <inverted16>     movn
f 10 100101 hh iiiiiiiiiiiiiiii ddddd        MOV         <Rd>, <shifted16>      movz
f 00 100110 p rrrrrr j11111 nnnnn ddddd      ASR         <Rd>, <Rn>, <#r>       last
0 00 100110 0 000000 000111 nnnnn ddddd      SXTB        <Wd>, <Wn>
0 00 100110 0 000000 001111 nnnnn ddddd      SXTH        <Wd>, <Wn>
1 00 100110 1 000000 000111 nnnnn ddddd      SXTB        <Xd>, <Wn>
1 00 100110 1 000000 001111 nnnnn ddddd      SXTH        <Xd>, <Wn>
1 00 100110 1 000000 011111 nnnnn ddddd      SXTW        <Xd>, <Wn>
f 00 100110 p rrrrrr jjjjjj nnnnn ddddd      SBFIZ       <Rd>, <Rn>, <lsb>, <#j+1>    before
f 00 100110 p rrrrrr jjjjjj nnnnn ddddd      SBFX        <Rd>, <Rn>, <#r>, <width>
f 01 100110 p rrrrrr jjjjjj 11111 ddddd      BFC         <Rd>, <lsb>, <#j+1>          before
f 01 100110 p rrrrrr jjjjjj nnnnn ddddd      BFI         <Rd>, <Rn>, <lsb>, <#j+1>    before
f 01 100110 p rrrrrr jjjjjj nnnnn ddddd      BFXIL       <Rd>, <Rn>, <#r>, <width>
f 10 100110 p rrrrrr j11111 nnnnn ddddd      LSR         <Rd>, <Rn>, <#r>       last
f 10 100110 p rrrrrr jjjjjj nnnnn ddddd      LSL         <Rd>, <Rn>, <lsb>      adjacent
0 10 100110 0 000000 000111 nnnnn ddddd      UXTB        <Wd>, <Wn>
0 10 100110 0 000000 001111 nnnnn ddddd      UXTH        <Wd>, <Wn>
f 10 100110 p rrrrrr jjjjjj nnnnn ddddd      UBFIZ       <Rd>, <Rn>, <lsb>, <#j+1>    before
f 10 100110 p rrrrrr jjjjjj nnnnn ddddd      UBFX        <Rd>, <Rn>, <#r>, <width>
f 00 100111 p 0 mmmmm jjjjjj nnnnn ddddd     ROR         <Rd>, <Rn>, <#j>       n=m
f 01 01010 00 0 mmmmm 000000 11111 ddddd     MOV         <Rd>, <Rm>
f 01 01010 kk 1 mmmmm ssssss 11111 ddddd     MVN         <Rd>, <Rm><shift>
f 11 01010 kk 0 mmmmm ssssss nnnnn 11111     TST         <Rn>, <Rm><shift>
f L1 01011 kk 0 mmmmm ssssss nnnnn 11111     (CMN|CMP)   <Rn>, <Rm><shift>
f 10 01011 kk 0 mmmmm ssssss 11111 ddddd     NEG         <Rd>, <Rm><shift>
f 11 01011 kk 0 mmmmm ssssss 11111 ddddd     NEGS        <Rd>, <Rm><shift>
f L1 01011 00 1 mmmmm eee sss nnnnn 11111    (CMN|CMP)   <RSn>, <extended>
f 10 11010000 mmmmm 000000 11111 ddddd       NGC         <Rd>, <Rm>
f 11 11010000 mmmmm 000000 11111 ddddd       NGCS        <Rd>, <Rm>
f 00 11010100 11111 cccc 01 11111 ddddd      CSET        <Rd>, <uncond>         c<14
f 10 11010100 11111 cccc 00 11111 ddddd      CSETM       <Rd>, <uncond>         c<14
f 00 11010100 mmmmm cccc 01 nnnnn ddddd      CINC        <Rd>, <Rn>, <uncond>   c<14 n=m
f 10 11010100 mmmmm cccc 00 nnnnn ddddd      CINV        <Rd>, <Rn>, <uncond>   c<14 n=m
f 10 11010100 mmmmm cccc 01 nnnnn ddddd      CNEG        <Rd>, <Rn>, <uncond>   c<14 n=m
f 00 11011 000 mmmmm L 11111 nnnnn ddddd     (MUL|MNEG)      <Rd>, <Rn>, <Rm>
1 00 11011 001 mmmmm L 11111 nnnnn ddddd     (SMULL|SMNEGL)  <Xd>, <Wn>, <Wm>
1 00 11011 101 mmmmm L 11111 nnnnn ddddd     (UMULL|UMNEGL)  <Xd>, <Wn>, <Wm>
1 01 11010110 mmmmm 000000 nnnnn 11111       CMPP        <XSn>, <XSm>
1 00 11010110 11111 000100 nnnnn ddddd       IRG         <XSd>, <XSn>
1101011 0010 11111 000000 11110 00000        RET         .
1101010100000 011 0100 0010 011 11111         SMSTOP     sm
1101010100000 011 0100 0011 011 11111         SMSTART     sm
1101010100000 011 0100 0100 011 11111         SMSTOP     za
1101010100000 011 0100 0101 011 11111         SMSTART     za
1101010100000 011 0100 0110 011 11111         SMSTOP     .
1101010100000 011 0100 0111 011 11111         SMSTART     .
1101010100 1 01 000 1100 0011 000 ttttt      GICR        <Xt>, cdia
1101010100 1 01 000 1100 0011 001 ttttt      GICR        <Xt>, cdnmia
1101010100 1 01 011 0111 0111 001 11111      GCSPOPM     .
1101010100 1 01 011 0111 0111 001 ttttt      GCSPOPM     <Xt>
1101010100 1 01 011 0111 0111 011 ttttt      GCSSS2      <Xt>
1101010101 0 01 ooo 1000 yyyy www 11111      TLBIP       <tlbip>, xzr, xzr      tlbip
1101010101 0 01 ooo 1000 yyyy www tttt0      TLBIP       <tlbip>, <pair>        tlbip
`
