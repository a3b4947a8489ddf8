/**
 * A64: every instruction that accesses memory at an address from general-purpose registers. See `row.ts` for the language.
 *
 * Source: Arm ARM (DDI 0487), "A64 Base Instruction Encodings", "Loads and Stores" and "System instructions".
 */

/**
 * Transfers of one register, which most addressing modes share: size, V and opc, the mnemonic's parts before and after
 * where a letter for the addressing mode goes, the register, the operation.
 */
export const a64Transfers: string = `
00 0 00  ST R B   Wt  store.1
00 0 01  LD R B   Wt  load.1
00 0 10  LD R SB  Xt  load.1 sx
00 0 11  LD R SB  Wt  load.1 sx
01 0 00  ST R H   Wt  store.2
01 0 01  LD R H   Wt  load.2
01 0 10  LD R SH  Xt  load.2 sx
01 0 11  LD R SH  Wt  load.2 sx
10 0 00  ST R .   Wt  store.4
10 0 01  LD R .   Wt  load.4
10 0 10  LD R SW  Xt  load.4 sx
11 0 00  ST R .   Xt  store.8
11 0 01  LD R .   Xt  load.8
11 0 10  PRF M .  Pt  prefetch.8
00 1 00  ST R .   Bt  store.1
00 1 01  LD R .   Bt  load.1
00 1 10  ST R .   Qt  store.16
00 1 11  LD R .   Qt  load.16
01 1 00  ST R .   Ht  store.2
01 1 01  LD R .   Ht  load.2
10 1 00  ST R .   St  store.4
10 1 01  LD R .   St  load.4
11 1 00  ST R .   Dt  store.8
11 1 01  LD R .   Dt  load.8
`

/** Rows; `*` in the mnemonic stands for each of the transfers, with the letter that follows put in. */
export const a64Rows: string = `
# One register
zz 111 v 01 oo iiiiiiiiiiii nnnnn ttttt     *     <t>, [<XSn><,#i>]       imm=u*size
zz 111 v 00 oo 0 iiiiiiiii 00 nnnnn ttttt   *U    <t>, [<XSn><,#i>]       imm=s
zz 111 v 00 oo 0 iiiiiiiii 01 nnnnn ttttt   *     <t>, [<XSn>], <#i>      imm=s post noprefetch
zz 111 0 00 oo 0 iiiiiiiii 10 nnnnn ttttt   *T    <t>, [<XSn><,#i>]       imm=s unprivileged noprefetch general
zz 111 v 00 oo 0 iiiiiiiii 11 nnnnn ttttt   *     <t>, [<XSn>, <#i>]!     imm=s pre noprefetch
11 111 000 10 1 mmmmm eeeS 10 nnnnn 11ttt   RPRFM  <op>, <Xm>, [<XSn>]     prefetch RPRFM
zz 111 v 00 oo 1 mmmmm eeeS 10 nnnnn ttttt  *     <t>, [<XSn>, <m,e>]     extended

# Literal
00 011 0 00 iiiiiiiiiiiiiiiiiii ttttt       LDR   <Wt>, <label>          load.4 imm=s*4 literal
01 011 0 00 iiiiiiiiiiiiiiiiiii ttttt       LDR   <Xt>, <label>          load.8 imm=s*4 literal
10 011 0 00 iiiiiiiiiiiiiiiiiii ttttt       LDRSW  <Xt>, <label>          load.4 sx imm=s*4 literal
11 011 0 00 iiiiiiiiiiiiiiiiiii ttttt       PRFM  <Pt>, <label>          prefetch imm=s*4 literal
00 011 1 00 iiiiiiiiiiiiiiiiiii ttttt       LDR   <St>, <label>          load.4 imm=s*4 literal
01 011 1 00 iiiiiiiiiiiiiiiiiii ttttt       LDR   <Dt>, <label>          load.8 imm=s*4 literal
10 011 1 00 iiiiiiiiiiiiiiiiiii ttttt       LDR   <Qt>, <label>          load.16 imm=s*4 literal

# Pairs
00 101 0 000 0 iiiiiii uuuuu nnnnn ttttt    STNP  <Wt>, <Wu>, [<XSn><,#i>]    store.4 pair imm=s*4
00 101 0 000 1 iiiiiii uuuuu nnnnn ttttt    LDNP  <Wt>, <Wu>, [<XSn><,#i>]    load.4 pair imm=s*4
10 101 0 000 0 iiiiiii uuuuu nnnnn ttttt    STNP  <Xt>, <Xu>, [<XSn><,#i>]    store.8 pair imm=s*8
10 101 0 000 1 iiiiiii uuuuu nnnnn ttttt    LDNP  <Xt>, <Xu>, [<XSn><,#i>]    load.8 pair imm=s*8
00 101 1 000 0 iiiiiii uuuuu nnnnn ttttt    STNP  <St>, <Su>, [<XSn><,#i>]    store.4 pair imm=s*4
00 101 1 000 1 iiiiiii uuuuu nnnnn ttttt    LDNP  <St>, <Su>, [<XSn><,#i>]    load.4 pair imm=s*4
01 101 1 000 0 iiiiiii uuuuu nnnnn ttttt    STNP  <Dt>, <Du>, [<XSn><,#i>]    store.8 pair imm=s*8
01 101 1 000 1 iiiiiii uuuuu nnnnn ttttt    LDNP  <Dt>, <Du>, [<XSn><,#i>]    load.8 pair imm=s*8
10 101 1 000 0 iiiiiii uuuuu nnnnn ttttt    STNP  <Qt>, <Qu>, [<XSn><,#i>]    store.16 pair imm=s*16
10 101 1 000 1 iiiiiii uuuuu nnnnn ttttt    LDNP  <Qt>, <Qu>, [<XSn><,#i>]    load.16 pair imm=s*16
00 101 0 0ww 0 iiiiiii uuuuu nnnnn ttttt    STP   <Wt>, <Wu>, <address>      store.4 pair imm=s*4
00 101 0 0ww 1 iiiiiii uuuuu nnnnn ttttt    LDP   <Wt>, <Wu>, <address>      load.4 pair imm=s*4
01 101 0 0ww 0 iiiiiii uuuuu nnnnn ttttt    STGP  <Xt>, <Xu>, <address>      store.8 pair imm=s*16 tag MTE
01 101 0 0ww 1 iiiiiii uuuuu nnnnn ttttt    LDPSW  <Xt>, <Xu>, <address>      load.4 sx pair imm=s*4
10 101 0 0ww 0 iiiiiii uuuuu nnnnn ttttt    STP   <Xt>, <Xu>, <address>      store.8 pair imm=s*8
10 101 0 0ww 1 iiiiiii uuuuu nnnnn ttttt    LDP   <Xt>, <Xu>, <address>      load.8 pair imm=s*8
00 101 1 0ww 0 iiiiiii uuuuu nnnnn ttttt    STP   <St>, <Su>, <address>      store.4 pair imm=s*4
00 101 1 0ww 1 iiiiiii uuuuu nnnnn ttttt    LDP   <St>, <Su>, <address>      load.4 pair imm=s*4
01 101 1 0ww 0 iiiiiii uuuuu nnnnn ttttt    STP   <Dt>, <Du>, <address>      store.8 pair imm=s*8
01 101 1 0ww 1 iiiiiii uuuuu nnnnn ttttt    LDP   <Dt>, <Du>, <address>      load.8 pair imm=s*8
10 101 1 0ww 0 iiiiiii uuuuu nnnnn ttttt    STP   <Qt>, <Qu>, <address>      store.16 pair imm=s*16
10 101 1 0ww 1 iiiiiii uuuuu nnnnn ttttt    LDP   <Qt>, <Qu>, <address>      load.16 pair imm=s*16

# Exclusives
00 001000 000 sssss 0 ----- nnnnn ttttt     STXRB   <Ws>, <Wt>, [<XSn>]        store-exclusive.1
00 001000 000 sssss 1 ----- nnnnn ttttt     STLXRB  <Ws>, <Wt>, [<XSn>]        store-exclusive.1 release
00 001000 010 ----- 0 ----- nnnnn ttttt     LDXRB   <Wt>, [<XSn>]              load-exclusive.1
00 001000 010 ----- 1 ----- nnnnn ttttt     LDAXRB  <Wt>, [<XSn>]              load-exclusive.1 acquire
01 001000 000 sssss 0 ----- nnnnn ttttt     STXRH   <Ws>, <Wt>, [<XSn>]        store-exclusive.2
01 001000 000 sssss 1 ----- nnnnn ttttt     STLXRH  <Ws>, <Wt>, [<XSn>]        store-exclusive.2 release
01 001000 010 ----- 0 ----- nnnnn ttttt     LDXRH   <Wt>, [<XSn>]              load-exclusive.2
01 001000 010 ----- 1 ----- nnnnn ttttt     LDAXRH  <Wt>, [<XSn>]              load-exclusive.2 acquire
10 001000 000 sssss 0 ----- nnnnn ttttt     STXR    <Ws>, <Wt>, [<XSn>]        store-exclusive.4
10 001000 000 sssss 1 ----- nnnnn ttttt     STLXR   <Ws>, <Wt>, [<XSn>]        store-exclusive.4 release
10 001000 010 ----- 0 ----- nnnnn ttttt     LDXR    <Wt>, [<XSn>]              load-exclusive.4
10 001000 010 ----- 1 ----- nnnnn ttttt     LDAXR   <Wt>, [<XSn>]              load-exclusive.4 acquire
11 001000 000 sssss 0 ----- nnnnn ttttt     STXR    <Ws>, <Xt>, [<XSn>]        store-exclusive.8
11 001000 000 sssss 1 ----- nnnnn ttttt     STLXR   <Ws>, <Xt>, [<XSn>]        store-exclusive.8 release
11 001000 010 ----- 0 ----- nnnnn ttttt     LDXR    <Xt>, [<XSn>]              load-exclusive.8
11 001000 010 ----- 1 ----- nnnnn ttttt     LDAXR   <Xt>, [<XSn>]              load-exclusive.8 acquire
10 001000 001 sssss 0 uuuuu nnnnn ttttt     STXP    <Ws>, <Wt>, <Wu>, [<XSn>]  store-exclusive.4 pair
10 001000 001 sssss 1 uuuuu nnnnn ttttt     STLXP   <Ws>, <Wt>, <Wu>, [<XSn>]  store-exclusive.4 pair release
10 001000 011 ----- 0 uuuuu nnnnn ttttt     LDXP    <Wt>, <Wu>, [<XSn>]        load-exclusive.4 pair
10 001000 011 ----- 1 uuuuu nnnnn ttttt     LDAXP   <Wt>, <Wu>, [<XSn>]        load-exclusive.4 pair acquire
11 001000 001 sssss 0 uuuuu nnnnn ttttt     STXP    <Ws>, <Xt>, <Xu>, [<XSn>]  store-exclusive.8 pair
11 001000 001 sssss 1 uuuuu nnnnn ttttt     STLXP   <Ws>, <Xt>, <Xu>, [<XSn>]  store-exclusive.8 pair release
11 001000 011 ----- 0 uuuuu nnnnn ttttt     LDXP    <Xt>, <Xu>, [<XSn>]        load-exclusive.8 pair
11 001000 011 ----- 1 uuuuu nnnnn ttttt     LDAXP   <Xt>, <Xu>, [<XSn>]        load-exclusive.8 pair acquire

# Acquire and release
00 001000 100 ----- 0 ----- nnnnn ttttt     STLLRB  <Wt>, [<XSn>]              store.1 release LOR
01 001000 100 ----- 0 ----- nnnnn ttttt     STLLRH  <Wt>, [<XSn>]              store.2 release LOR
10 001000 100 ----- 0 ----- nnnnn ttttt     STLLR   <Wt>, [<XSn>]              store.4 release LOR
11 001000 100 ----- 0 ----- nnnnn ttttt     STLLR   <Xt>, [<XSn>]              store.8 release LOR
00 001000 100 ----- 1 ----- nnnnn ttttt     STLRB   <Wt>, [<XSn>]              store.1 release
01 001000 100 ----- 1 ----- nnnnn ttttt     STLRH   <Wt>, [<XSn>]              store.2 release
10 001000 100 ----- 1 ----- nnnnn ttttt     STLR    <Wt>, [<XSn>]              store.4 release
11 001000 100 ----- 1 ----- nnnnn ttttt     STLR    <Xt>, [<XSn>]              store.8 release
00 001000 110 ----- 0 ----- nnnnn ttttt     LDLARB  <Wt>, [<XSn>]              load.1 acquire LOR
01 001000 110 ----- 0 ----- nnnnn ttttt     LDLARH  <Wt>, [<XSn>]              load.2 acquire LOR
10 001000 110 ----- 0 ----- nnnnn ttttt     LDLAR   <Wt>, [<XSn>]              load.4 acquire LOR
11 001000 110 ----- 0 ----- nnnnn ttttt     LDLAR   <Xt>, [<XSn>]              load.8 acquire LOR
00 001000 110 ----- 1 ----- nnnnn ttttt     LDARB   <Wt>, [<XSn>]              load.1 acquire
01 001000 110 ----- 1 ----- nnnnn ttttt     LDARH   <Wt>, [<XSn>]              load.2 acquire
10 001000 110 ----- 1 ----- nnnnn ttttt     LDAR    <Wt>, [<XSn>]              load.4 acquire
11 001000 110 ----- 1 ----- nnnnn ttttt     LDAR    <Xt>, [<XSn>]              load.8 acquire
00 111 000 10 1 11111 1 100 00 nnnnn ttttt  LDAPRB  <Wt>, [<XSn>]              load.1 acquire LRCPC
01 111 000 10 1 11111 1 100 00 nnnnn ttttt  LDAPRH  <Wt>, [<XSn>]              load.2 acquire LRCPC
10 111 000 10 1 11111 1 100 00 nnnnn ttttt  LDAPR   <Wt>, [<XSn>]              load.4 acquire LRCPC
11 111 000 10 1 11111 1 100 00 nnnnn ttttt  LDAPR   <Xt>, [<XSn>]              load.8 acquire LRCPC
00 011001 00 0 iiiiiiiii 00 nnnnn ttttt     STLURB  <Wt>, [<XSn><,#i>]         store.1 release imm=s LRCPC2
00 011001 01 0 iiiiiiiii 00 nnnnn ttttt     LDAPURB  <Wt>, [<XSn><,#i>]         load.1 acquire imm=s LRCPC2
00 011001 10 0 iiiiiiiii 00 nnnnn ttttt     LDAPURSB  <Xt>, [<XSn><,#i>]        load.1 sx acquire imm=s LRCPC2
00 011001 11 0 iiiiiiiii 00 nnnnn ttttt     LDAPURSB  <Wt>, [<XSn><,#i>]        load.1 sx acquire imm=s LRCPC2
01 011001 00 0 iiiiiiiii 00 nnnnn ttttt     STLURH  <Wt>, [<XSn><,#i>]         store.2 release imm=s LRCPC2
01 011001 01 0 iiiiiiiii 00 nnnnn ttttt     LDAPURH  <Wt>, [<XSn><,#i>]         load.2 acquire imm=s LRCPC2
01 011001 10 0 iiiiiiiii 00 nnnnn ttttt     LDAPURSH  <Xt>, [<XSn><,#i>]        load.2 sx acquire imm=s LRCPC2
01 011001 11 0 iiiiiiiii 00 nnnnn ttttt     LDAPURSH  <Wt>, [<XSn><,#i>]        load.2 sx acquire imm=s LRCPC2
10 011001 00 0 iiiiiiiii 00 nnnnn ttttt     STLUR   <Wt>, [<XSn><,#i>]         store.4 release imm=s LRCPC2
10 011001 01 0 iiiiiiiii 00 nnnnn ttttt     LDAPUR  <Wt>, [<XSn><,#i>]         load.4 acquire imm=s LRCPC2
10 011001 10 0 iiiiiiiii 00 nnnnn ttttt     LDAPURSW  <Xt>, [<XSn><,#i>]        load.4 sx acquire imm=s LRCPC2
11 011001 00 0 iiiiiiiii 00 nnnnn ttttt     STLUR   <Xt>, [<XSn><,#i>]         store.8 release imm=s LRCPC2
11 011001 01 0 iiiiiiiii 00 nnnnn ttttt     LDAPUR  <Xt>, [<XSn><,#i>]         load.8 acquire imm=s LRCPC2
10 011001 10 0 00000 0000 10 nnnnn ttttt    STLR    <Wt>, [<XSn>, #-4]!        store.4 release by=-4 pre LRCPC3
11 011001 10 0 00000 0000 10 nnnnn ttttt    STLR    <Xt>, [<XSn>, #-8]!        store.8 release by=-8 pre LRCPC3
10 011001 11 0 00000 0000 10 nnnnn ttttt    LDAPR   <Wt>, [<XSn>], #4          load.4 acquire by=4 post LRCPC3
11 011001 11 0 00000 0000 10 nnnnn ttttt    LDAPR   <Xt>, [<XSn>], #8          load.8 acquire by=8 post LRCPC3
10 011001 00 0 uuuuu 0000 10 nnnnn ttttt    STILP   <Wt>, <Wu>, [<XSn>, #-8]!   store.4 pair release by=-8 pre LRCPC3
10 011001 00 0 uuuuu 0001 10 nnnnn ttttt    STILP   <Wt>, <Wu>, [<XSn>]         store.4 pair release LRCPC3
11 011001 00 0 uuuuu 0000 10 nnnnn ttttt    STILP   <Xt>, <Xu>, [<XSn>, #-16]!  store.8 pair release by=-16 pre LRCPC3
11 011001 00 0 uuuuu 0001 10 nnnnn ttttt    STILP   <Xt>, <Xu>, [<XSn>]         store.8 pair release LRCPC3
10 011001 01 0 uuuuu 0000 10 nnnnn ttttt    LDIAPP  <Wt>, <Wu>, [<XSn>], #8     load.4 pair acquire by=8 post LRCPC3
10 011001 01 0 uuuuu 0001 10 nnnnn ttttt    LDIAPP  <Wt>, <Wu>, [<XSn>]         load.4 pair acquire LRCPC3
11 011001 01 0 uuuuu 0000 10 nnnnn ttttt    LDIAPP  <Xt>, <Xu>, [<XSn>], #16    load.8 pair acquire by=16 post LRCPC3
11 011001 01 0 uuuuu 0001 10 nnnnn ttttt    LDIAPP  <Xt>, <Xu>, [<XSn>]         load.8 pair acquire LRCPC3
11 011001 00 0 uuuuu 0101 10 nnnnn ttttt    STLP    <Xt>, <Xu>, [<XSn>]         store.8 pair release LSCP
11 011001 01 0 uuuuu 0101 10 nnnnn ttttt    LDAP    <Xt>, <Xu>, [<XSn>]         load.8 pair acquire LSCP
11 011001 01 0 uuuuu 0111 10 nnnnn ttttt    LDAPP   <Xt>, <Xu>, [<XSn>]         load.8 pair acquire LSCP
00 011101 00 0 iiiiiiiii 10 nnnnn ttttt     STLUR   <Bt>, [<XSn><,#i>]         store.1 release imm=s LRCPC3
00 011101 01 0 iiiiiiiii 10 nnnnn ttttt     LDAPUR  <Bt>, [<XSn><,#i>]         load.1 acquire imm=s LRCPC3
00 011101 10 0 iiiiiiiii 10 nnnnn ttttt     STLUR   <Qt>, [<XSn><,#i>]         store.16 release imm=s LRCPC3
00 011101 11 0 iiiiiiiii 10 nnnnn ttttt     LDAPUR  <Qt>, [<XSn><,#i>]         load.16 acquire imm=s LRCPC3
01 011101 00 0 iiiiiiiii 10 nnnnn ttttt     STLUR   <Ht>, [<XSn><,#i>]         store.2 release imm=s LRCPC3
01 011101 01 0 iiiiiiiii 10 nnnnn ttttt     LDAPUR  <Ht>, [<XSn><,#i>]         load.2 acquire imm=s LRCPC3
10 011101 00 0 iiiiiiiii 10 nnnnn ttttt     STLUR   <St>, [<XSn><,#i>]         store.4 release imm=s LRCPC3
10 011101 01 0 iiiiiiiii 10 nnnnn ttttt     LDAPUR  <St>, [<XSn><,#i>]         load.4 acquire imm=s LRCPC3
11 011101 00 0 iiiiiiiii 10 nnnnn ttttt     STLUR   <Dt>, [<XSn><,#i>]         store.8 release imm=s LRCPC3
11 011101 01 0 iiiiiiiii 10 nnnnn ttttt     LDAPUR  <Dt>, [<XSn><,#i>]         load.8 acquire imm=s LRCPC3
0Q 001101 0 1 0 00001 100001 nnnnn ttttt    LDAP1   {<Vt>.d}[<lane>], [<XSn>]  load.8 structure.1 lane acquire LRCPC3
0Q 001101 0 0 0 00001 100001 nnnnn ttttt    STL1    {<Vt>.d}[<lane>], [<XSn>]  store.8 structure.1 lane release LRCPC3

# As above, with the rights of EL0 (LSUI)
11 101 0 000 0 iiiiiii uuuuu nnnnn ttttt    STTNP  <Xt>, <Xu>, [<XSn><,#i>]     store.8 pair imm=s*8 unprivileged LSUI
11 101 0 000 1 iiiiiii uuuuu nnnnn ttttt    LDTNP  <Xt>, <Xu>, [<XSn><,#i>]     load.8 pair imm=s*8 unprivileged LSUI
11 101 1 000 0 iiiiiii uuuuu nnnnn ttttt    STTNP  <Qt>, <Qu>, [<XSn><,#i>]     store.16 pair imm=s*16 unprivileged LSUI
11 101 1 000 1 iiiiiii uuuuu nnnnn ttttt    LDTNP  <Qt>, <Qu>, [<XSn><,#i>]     load.16 pair imm=s*16 unprivileged LSUI
11 101 0 0ww 0 iiiiiii uuuuu nnnnn ttttt    STTP   <Xt>, <Xu>, <address>       store.8 pair imm=s*8 unprivileged LSUI
11 101 0 0ww 1 iiiiiii uuuuu nnnnn ttttt    LDTP   <Xt>, <Xu>, <address>       load.8 pair imm=s*8 unprivileged LSUI
11 101 1 0ww 0 iiiiiii uuuuu nnnnn ttttt    STTP   <Qt>, <Qu>, <address>       store.16 pair imm=s*16 unprivileged LSUI
11 101 1 0ww 1 iiiiiii uuuuu nnnnn ttttt    LDTP   <Qt>, <Qu>, <address>       load.16 pair imm=s*16 unprivileged LSUI
10 001001 000 sssss 0 ----- nnnnn ttttt     STTXR   <Ws>, <Wt>, [<XSn>]         store-exclusive.4 unprivileged LSUI
10 001001 000 sssss 1 ----- nnnnn ttttt     STLTXR  <Ws>, <Wt>, [<XSn>]         store-exclusive.4 release unprivileged LSUI
10 001001 010 ----- 0 ----- nnnnn ttttt     LDTXR   <Wt>, [<XSn>]               load-exclusive.4 unprivileged LSUI
10 001001 010 ----- 1 ----- nnnnn ttttt     LDATXR  <Wt>, [<XSn>]               load-exclusive.4 acquire unprivileged LSUI
11 001001 000 sssss 0 ----- nnnnn ttttt     STTXR   <Ws>, <Xt>, [<XSn>]         store-exclusive.8 unprivileged LSUI
11 001001 000 sssss 1 ----- nnnnn ttttt     STLTXR  <Ws>, <Xt>, [<XSn>]         store-exclusive.8 release unprivileged LSUI
11 001001 010 ----- 0 ----- nnnnn ttttt     LDTXR   <Xt>, [<XSn>]               load-exclusive.8 unprivileged LSUI
11 001001 010 ----- 1 ----- nnnnn ttttt     LDATXR  <Xt>, [<XSn>]               load-exclusive.8 acquire unprivileged LSUI
01 001001 1a0 sssss r ----- nnnnn ttttt     CASP<AR>T  <Xs>, <Xs1>, <Xt>, <Xt1>, [<XSn>]  compare-and-swap.8 couple unprivileged LSUI
11 001001 1a0 sssss r ----- nnnnn ttttt     CAS<AR>T   <Xs>, <Xt>, [<XSn>]                compare-and-swap.8 unprivileged LSUI
00 011001 ar1 sssss 0 000 01 nnnnn ttttt    LDTADD<AR>  <Ws>, <Wt>, [<XSn>]               atomic.add unprivileged bytes=4 LSUI
01 011001 ar1 sssss 0 000 01 nnnnn ttttt    LDTADD<AR>  <Xs>, <Xt>, [<XSn>]               atomic.add unprivileged bytes=8 LSUI
00 011001 ar1 sssss 0 001 01 nnnnn ttttt    LDTCLR<AR>  <Ws>, <Wt>, [<XSn>]               atomic.clear unprivileged bytes=4 LSUI
01 011001 ar1 sssss 0 001 01 nnnnn ttttt    LDTCLR<AR>  <Xs>, <Xt>, [<XSn>]               atomic.clear unprivileged bytes=8 LSUI
00 011001 ar1 sssss 0 011 01 nnnnn ttttt    LDTSET<AR>  <Ws>, <Wt>, [<XSn>]               atomic.set unprivileged bytes=4 LSUI
01 011001 ar1 sssss 0 011 01 nnnnn ttttt    LDTSET<AR>  <Xs>, <Xt>, [<XSn>]               atomic.set unprivileged bytes=8 LSUI
00 011001 ar1 sssss 1 000 01 nnnnn ttttt    SWPT<AR>    <Ws>, <Wt>, [<XSn>]               atomic.swap unprivileged bytes=4 LSUI
01 011001 ar1 sssss 1 000 01 nnnnn ttttt    SWPT<AR>    <Xs>, <Xt>, [<XSn>]               atomic.swap unprivileged bytes=8 LSUI

# Compare and swap, atomics
00 001000 0a1 sssss r 11111 nnnnn ttttt     CASP<AR>   <Ws>, <Ws1>, <Wt>, <Wt1>, [<XSn>]  compare-and-swap.4 couple LSE
01 001000 0a1 sssss r 11111 nnnnn ttttt     CASP<AR>   <Xs>, <Xs1>, <Xt>, <Xt1>, [<XSn>]  compare-and-swap.8 couple LSE
zz 001000 1a1 sssss r 11111 nnnnn ttttt     CAS<AR><S>  <Rs>, <Rt>, [<XSn>]                compare-and-swap LSE
zz 111000 ar1 sssss 0 000 00 nnnnn ttttt    LDADD<AR><S>  <Rs>, <Rt>, [<XSn>]             atomic.add LSE
zz 111000 ar1 sssss 0 001 00 nnnnn ttttt    LDCLR<AR><S>  <Rs>, <Rt>, [<XSn>]             atomic.clear LSE
zz 111000 ar1 sssss 0 010 00 nnnnn ttttt    LDEOR<AR><S>  <Rs>, <Rt>, [<XSn>]             atomic.eor LSE
zz 111000 ar1 sssss 0 011 00 nnnnn ttttt    LDSET<AR><S>  <Rs>, <Rt>, [<XSn>]             atomic.set LSE
zz 111000 ar1 sssss 0 100 00 nnnnn ttttt    LDSMAX<AR><S>  <Rs>, <Rt>, [<XSn>]             atomic.smax LSE
zz 111000 ar1 sssss 0 101 00 nnnnn ttttt    LDSMIN<AR><S>  <Rs>, <Rt>, [<XSn>]             atomic.smin LSE
zz 111000 ar1 sssss 0 110 00 nnnnn ttttt    LDUMAX<AR><S>  <Rs>, <Rt>, [<XSn>]             atomic.umax LSE
zz 111000 ar1 sssss 0 111 00 nnnnn ttttt    LDUMIN<AR><S>  <Rs>, <Rt>, [<XSn>]             atomic.umin LSE
zz 111000 ar1 sssss 1 000 00 nnnnn ttttt    SWP<AR><S>    <Rs>, <Rt>, [<XSn>]             atomic.swap LSE
00 011001 ar1 uuuuu 0 001 00 nnnnn ttttt    LDCLRP<AR>    <Xt>, <Xu>, [<XSn>]             atomic.clear pair LSE128
00 011001 ar1 uuuuu 0 011 00 nnnnn ttttt    LDSETP<AR>    <Xt>, <Xu>, [<XSn>]             atomic.set pair LSE128
00 011001 ar1 uuuuu 1 000 00 nnnnn ttttt    SWPP<AR>      <Xt>, <Xu>, [<XSn>]             atomic.swap pair LSE128

# 64 bytes at once
11 111000 00 1 11111 1 101 00 nnnnn ttttt   LD64B   <Xt>, [<XSn>]              load-64b LS64
11 111000 00 1 11111 1 001 00 nnnnn ttttt   ST64B   <Xt>, [<XSn>]              store-64b LS64
11 111000 00 1 sssss 1 011 00 nnnnn ttttt   ST64BV  <Xs>, <Xt>, [<XSn>]        store-64b LS64_V
11 111000 00 1 sssss 1 010 00 nnnnn ttttt   ST64BV0  <Xs>, <Xt>, [<XSn>]        store-64b LS64_ACCDATA

# Pointer authentication
11 111000 0i 1 iiiiiiiii 01 nnnnn ttttt     LDRAA   <Xt>, [<XSn><,#i>]         load.8 pac imm=s*8 PAuth
11 111000 1i 1 iiiiiiiii 01 nnnnn ttttt     LDRAB   <Xt>, [<XSn><,#i>]         load.8 pac imm=s*8 PAuth
11 111000 0i 1 iiiiiiiii 11 nnnnn ttttt     LDRAA   <Xt>, [<XSn>, <#i>]!       load.8 pac imm=s*8 pre PAuth
11 111000 1i 1 iiiiiiiii 11 nnnnn ttttt     LDRAB   <Xt>, [<XSn>, <#i>]!       load.8 pac imm=s*8 pre PAuth

# SIMD structures: <list> names the registers with their arrangement. L chooses between store and load.
0Q 001100 0L 000000 0000 zz nnnnn ttttt     (ST|LD)4   <list>, [<XSn>]           (store|load) structure.4
0Q 001100 0L 000000 0010 zz nnnnn ttttt     (ST|LD)1   <list>, [<XSn>]           (store|load) sequence.4
0Q 001100 0L 000000 0100 zz nnnnn ttttt     (ST|LD)3   <list>, [<XSn>]           (store|load) structure.3
0Q 001100 0L 000000 0110 zz nnnnn ttttt     (ST|LD)1   <list>, [<XSn>]           (store|load) sequence.3
0Q 001100 0L 000000 0111 zz nnnnn ttttt     (ST|LD)1   <list>, [<XSn>]           (store|load) sequence.1
0Q 001100 0L 000000 1000 zz nnnnn ttttt     (ST|LD)2   <list>, [<XSn>]           (store|load) structure.2
0Q 001100 0L 000000 1010 zz nnnnn ttttt     (ST|LD)1   <list>, [<XSn>]           (store|load) sequence.2
0Q 001100 1L0 mmmmm 0000 zz nnnnn ttttt     (ST|LD)4   <list>, [<XSn>], <m|#>    (store|load) structure.4 post
0Q 001100 1L0 mmmmm 0010 zz nnnnn ttttt     (ST|LD)1   <list>, [<XSn>], <m|#>    (store|load) sequence.4 post
0Q 001100 1L0 mmmmm 0100 zz nnnnn ttttt     (ST|LD)3   <list>, [<XSn>], <m|#>    (store|load) structure.3 post
0Q 001100 1L0 mmmmm 0110 zz nnnnn ttttt     (ST|LD)1   <list>, [<XSn>], <m|#>    (store|load) sequence.3 post
0Q 001100 1L0 mmmmm 0111 zz nnnnn ttttt     (ST|LD)1   <list>, [<XSn>], <m|#>    (store|load) sequence.1 post
0Q 001100 1L0 mmmmm 1000 zz nnnnn ttttt     (ST|LD)2   <list>, [<XSn>], <m|#>    (store|load) structure.2 post
0Q 001100 1L0 mmmmm 1010 zz nnnnn ttttt     (ST|LD)1   <list>, [<XSn>], <m|#>    (store|load) sequence.2 post

# One lane, whose number l is spread over Q, S and size. N is one less than the number of registers, in an order of its own.
0l 001101 0L N 00000 00N lll nnnnn ttttt    (ST|LD)(1|3|2|4)  <lanes.b>, [<XSn>]          (store|load).1 structure.(1|3|2|4)
0l 001101 0L N 00000 01N ll0 nnnnn ttttt    (ST|LD)(1|3|2|4)  <lanes.h>, [<XSn>]          (store|load).2 structure.(1|3|2|4)
0l 001101 0L N 00000 10N l00 nnnnn ttttt    (ST|LD)(1|3|2|4)  <lanes.s>, [<XSn>]          (store|load).4 structure.(1|3|2|4)
0l 001101 0L N 00000 10N 001 nnnnn ttttt    (ST|LD)(1|3|2|4)  <lanes.d>, [<XSn>]          (store|load).8 structure.(1|3|2|4)
0Q 001101 01 N 00000 11N 0zz nnnnn ttttt    LD(1|3|2|4)R      <list>, [<XSn>]             load replicate.(1|3|2|4)
0l 001101 1L N mmmmm 00N lll nnnnn ttttt    (ST|LD)(1|3|2|4)  <lanes.b>, [<XSn>], <m|#>   (store|load).1 structure.(1|3|2|4) post
0l 001101 1L N mmmmm 01N ll0 nnnnn ttttt    (ST|LD)(1|3|2|4)  <lanes.h>, [<XSn>], <m|#>   (store|load).2 structure.(1|3|2|4) post
0l 001101 1L N mmmmm 10N l00 nnnnn ttttt    (ST|LD)(1|3|2|4)  <lanes.s>, [<XSn>], <m|#>   (store|load).4 structure.(1|3|2|4) post
0l 001101 1L N mmmmm 10N 001 nnnnn ttttt    (ST|LD)(1|3|2|4)  <lanes.d>, [<XSn>], <m|#>   (store|load).8 structure.(1|3|2|4) post
0Q 001101 11 N mmmmm 11N 0zz nnnnn ttttt    LD(1|3|2|4)R      <list>, [<XSn>], <m|#>      load replicate.(1|3|2|4) post

# Tags
11 011001 00 1 000000000 00 nnnnn ttttt     STZGM  <Xt>, [<XSn>]             tags MTE2
11 011001 10 1 000000000 00 nnnnn ttttt     STGM   <Xt>, [<XSn>]             tags MTE2
11 011001 11 1 000000000 00 nnnnn ttttt     LDGM   <Xt>, [<XSn>]             tags MTE2
11 011001 01 1 iiiiiiiii 00 nnnnn ttttt     LDG    <Xt>, [<XSn><,#i>]        tag-load imm=s*16 MTE
11 011001 00 1 iiiiiiiii ww nnnnn ttttt     STG    <XSt>, <address>         tag-store.16 imm=s*16 MTE2
11 011001 01 1 iiiiiiiii ww nnnnn ttttt     STZG   <XSt>, <address>         zero.16 imm=s*16 tag MTE2
11 011001 10 1 iiiiiiiii ww nnnnn ttttt     ST2G   <XSt>, <address>         tag-store.32 imm=s*16 MTE2
11 011001 11 1 iiiiiiiii ww nnnnn ttttt     STZ2G  <XSt>, <address>         zero.32 imm=s*16 tag MTE2

# Memory copy and set. <PME> is the stage, <options> who accesses and how.
00 011 0 01 pp 0 sssss oooo 01 nnnnn ttttt  CPYF<PME><options>  [<Xt>]!, [<Xs>]!, <Xn>!  copy-forward MOPS
00 011 1 01 pp 0 sssss oooo 01 nnnnn ttttt  CPY<PME><options>   [<Xt>]!, [<Xs>]!, <Xn>!  copy MOPS
00 011 0 01 11 0 sssss ppoo 01 nnnnn ttttt  SET<PME><options>   [<Xt>]!, <Xn>!, <Xs>     fill MOPS
00 011 1 01 11 0 sssss ppoo 01 nnnnn ttttt  SETG<PME><options>  [<Xt>]!, <Xn>!, <Xs>     fill tag MOPS
00 011 1 01 11 0 11111 ppoo 00 nnnnn ttttt  SETGO<PME><options>  [<Xt>]!, <Xn>!          other tag MOPS_GO

# System instructions by address
1101010100 001 000 0111 0110 001 ttttt      DC     IVAC, <Xt>        cache
1101010100 001 000 0111 0110 011 ttttt      DC     IGVAC, <Xt>       cache MTE2
1101010100 001 000 0111 0110 101 ttttt      DC     IGDVAC, <Xt>      cache MTE2
1101010100 001 011 0111 0100 001 ttttt      DC     ZVA, <Xt>         zero.block
1101010100 001 011 0111 0100 011 ttttt      DC     GVA, <Xt>         tag-store.block MTE
1101010100 001 011 0111 0100 100 ttttt      DC     GZVA, <Xt>        zero.block tag MTE
1101010100 001 011 0111 1010 001 ttttt      DC     CVAC, <Xt>        cache
1101010100 001 011 0111 1010 011 ttttt      DC     CGVAC, <Xt>       cache MTE
1101010100 001 011 0111 1010 101 ttttt      DC     CGDVAC, <Xt>      cache MTE
1101010100 001 011 0111 1011 001 ttttt      DC     CVAU, <Xt>        cache
1101010100 001 011 0111 1100 001 ttttt      DC     CVAP, <Xt>        cache DPB
1101010100 001 011 0111 1100 011 ttttt      DC     CGVAP, <Xt>       cache MTE
1101010100 001 011 0111 1100 101 ttttt      DC     CGDVAP, <Xt>      cache MTE
1101010100 001 011 0111 1101 001 ttttt      DC     CVADP, <Xt>       cache DPB2
1101010100 001 011 0111 1101 011 ttttt      DC     CGVADP, <Xt>      cache MTE
1101010100 001 011 0111 1101 101 ttttt      DC     CGDVADP, <Xt>     cache MTE
1101010100 001 011 0111 1110 001 ttttt      DC     CIVAC, <Xt>       cache
1101010100 001 011 0111 1110 011 ttttt      DC     CIGVAC, <Xt>      cache MTE
1101010100 001 011 0111 1110 101 ttttt      DC     CIGDVAC, <Xt>     cache MTE
1101010100 001 011 0111 0101 001 ttttt      IC     IVAU, <Xt>        cache
1101010100 001 000 0111 1000 000 ttttt      AT     S1E1R, <Xt>       cache
1101010100 001 000 0111 1000 001 ttttt      AT     S1E1W, <Xt>       cache
1101010100 001 000 0111 1000 010 ttttt      AT     S1E0R, <Xt>       cache
1101010100 001 000 0111 1000 011 ttttt      AT     S1E0W, <Xt>       cache
1101010100 001 000 0111 1001 000 ttttt      AT     S1E1RP, <Xt>      cache PAN2
1101010100 001 000 0111 1001 001 ttttt      AT     S1E1WP, <Xt>      cache PAN2

# Recognised, and handed to the caller: floating-point atomics, translation-table entries, control stacks, SVE, SME
zz 111100 ar1 sssss - --- 00 nnnnn ttttt    LDF  .  other LSFE
00 011001 ar1 ----- 0 000 10 nnnnn ttttt    RCWCAS  .  other THE
0- 011001 ar1 ----- 0 000 1- nnnnn ttttt    RCWCAS  .  other THE
0- 111000 ar1 ----- 1 001 00 nnnnn ttttt    RCWCLR  .  other THE
0- 111000 ar1 ----- 1 01- 00 nnnnn ttttt    RCWSWP  .  other THE
0- 011001 ar1 ----- 1 001 00 nnnnn ttttt    RCWCLRP  .  other THE
0- 011001 ar1 ----- 1 01- 00 nnnnn ttttt    RCWSWPP  .  other THE
11 011001 000 11111 000 -11 nnnnn ttttt     GCSSTR  .  other GCS
10- 0010 -------------------------          SVE    .                 scalable SVE
11- 0010 -------------------------          SVE    .                 scalable SVE
1110000 -------------------------           SME    .                 scalable SME
1010000 -------------------------           SME    .                 scalable SME2
`
