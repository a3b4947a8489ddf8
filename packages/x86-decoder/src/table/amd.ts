/**
 * Extensions of AMD processors alone: XOP with VPERMIL2PS, TBM, LWP and, with the opcode after the operands, 3DNow!.
 *
 * Source: AMD APM vol. 3, appendix A, "XOP Opcode Maps", "3DNow! Opcodes"; vol. 4 for XOP; vol. 5 for 3DNow!.
 */
export const amdRows: string = `
XOP.8 85      VPMACSSWW     Vdq,Hdq,Wdq,Ldq   XOP w0 l0
XOP.8 86      VPMACSSWD     Vdq,Hdq,Wdq,Ldq   XOP w0 l0
XOP.8 87      VPMACSSDQL    Vdq,Hdq,Wdq,Ldq   XOP w0 l0
XOP.8 8E      VPMACSSDD     Vdq,Hdq,Wdq,Ldq   XOP w0 l0
XOP.8 8F      VPMACSSDQH    Vdq,Hdq,Wdq,Ldq   XOP w0 l0
XOP.8 95      VPMACSWW      Vdq,Hdq,Wdq,Ldq   XOP w0 l0
XOP.8 96      VPMACSWD      Vdq,Hdq,Wdq,Ldq   XOP w0 l0
XOP.8 97      VPMACSDQL     Vdq,Hdq,Wdq,Ldq   XOP w0 l0
XOP.8 9E      VPMACSDD      Vdq,Hdq,Wdq,Ldq   XOP w0 l0
XOP.8 9F      VPMACSDQH     Vdq,Hdq,Wdq,Ldq   XOP w0 l0
XOP.8 A2      VPCMOV        Vx,Hx,Wx,Lx       XOP w0
XOP.8 A2      VPCMOV        Vx,Hx,Lx,Wx       XOP w1
XOP.8 A3      VPPERM        Vdq,Hdq,Wdq,Ldq   XOP w0 l0
XOP.8 A3      VPPERM        Vdq,Hdq,Ldq,Wdq   XOP w1 l0
XOP.8 A6      VPMADCSSWD    Vdq,Hdq,Wdq,Ldq   XOP w0 l0
XOP.8 B6      VPMADCSWD     Vdq,Hdq,Wdq,Ldq   XOP w0 l0
XOP.8 C0      VPROTB        Vdq,Wdq,Ib        XOP w0 l0
XOP.8 C1      VPROTW        Vdq,Wdq,Ib        XOP w0 l0
XOP.8 C2      VPROTD        Vdq,Wdq,Ib        XOP w0 l0
XOP.8 C3      VPROTQ        Vdq,Wdq,Ib        XOP w0 l0
XOP.8 CC      VPCOMB        Vdq,Hdq,Wdq,Ib    XOP w0 l0
XOP.8 CD      VPCOMW        Vdq,Hdq,Wdq,Ib    XOP w0 l0
XOP.8 CE      VPCOMD        Vdq,Hdq,Wdq,Ib    XOP w0 l0
XOP.8 CF      VPCOMQ        Vdq,Hdq,Wdq,Ib    XOP w0 l0
XOP.8 EC      VPCOMUB       Vdq,Hdq,Wdq,Ib    XOP w0 l0
XOP.8 ED      VPCOMUW       Vdq,Hdq,Wdq,Ib    XOP w0 l0
XOP.8 EE      VPCOMUD       Vdq,Hdq,Wdq,Ib    XOP w0 l0
XOP.8 EF      VPCOMUQ       Vdq,Hdq,Wdq,Ib    XOP w0 l0
XOP.9 01 /1   BLCFILL       By,Ey             TBM l0
XOP.9 01 /2   BLSFILL       By,Ey             TBM l0
XOP.9 01 /3   BLCS          By,Ey             TBM l0
XOP.9 01 /4   TZMSK         By,Ey             TBM l0
XOP.9 01 /5   BLCIC         By,Ey             TBM l0
XOP.9 01 /6   BLSIC         By,Ey             TBM l0
XOP.9 01 /7   T1MSKC        By,Ey             TBM l0
XOP.9 02 /1   BLCMSK        By,Ey             TBM l0
XOP.9 02 /6   BLCI          By,Ey             TBM l0
XOP.9 12 /0   LLWPCB        Ry                LWP l0
XOP.9 12 /1   SLWPCB        Ry                LWP l0
XOP.9 80      VFRCZPS       Vx,Wx             XOP w0
XOP.9 81      VFRCZPD       Vx,Wx             XOP w0
XOP.9 82      VFRCZSS       Vdq,Wd            XOP w0 l0
XOP.9 83      VFRCZSD       Vdq,Wq            XOP w0 l0
XOP.9 90      VPROTB        Vdq,Wdq,Hdq       XOP w0 l0
XOP.9 90      VPROTB        Vdq,Hdq,Wdq       XOP w1 l0
XOP.9 91      VPROTW        Vdq,Wdq,Hdq       XOP w0 l0
XOP.9 91      VPROTW        Vdq,Hdq,Wdq       XOP w1 l0
XOP.9 92      VPROTD        Vdq,Wdq,Hdq       XOP w0 l0
XOP.9 92      VPROTD        Vdq,Hdq,Wdq       XOP w1 l0
XOP.9 93      VPROTQ        Vdq,Wdq,Hdq       XOP w0 l0
XOP.9 93      VPROTQ        Vdq,Hdq,Wdq       XOP w1 l0
XOP.9 94      VPSHLB        Vdq,Wdq,Hdq       XOP w0 l0
XOP.9 94      VPSHLB        Vdq,Hdq,Wdq       XOP w1 l0
XOP.9 95      VPSHLW        Vdq,Wdq,Hdq       XOP w0 l0
XOP.9 95      VPSHLW        Vdq,Hdq,Wdq       XOP w1 l0
XOP.9 96      VPSHLD        Vdq,Wdq,Hdq       XOP w0 l0
XOP.9 96      VPSHLD        Vdq,Hdq,Wdq       XOP w1 l0
XOP.9 97      VPSHLQ        Vdq,Wdq,Hdq       XOP w0 l0
XOP.9 97      VPSHLQ        Vdq,Hdq,Wdq       XOP w1 l0
XOP.9 98      VPSHAB        Vdq,Wdq,Hdq       XOP w0 l0
XOP.9 98      VPSHAB        Vdq,Hdq,Wdq       XOP w1 l0
XOP.9 99      VPSHAW        Vdq,Wdq,Hdq       XOP w0 l0
XOP.9 99      VPSHAW        Vdq,Hdq,Wdq       XOP w1 l0
XOP.9 9A      VPSHAD        Vdq,Wdq,Hdq       XOP w0 l0
XOP.9 9A      VPSHAD        Vdq,Hdq,Wdq       XOP w1 l0
XOP.9 9B      VPSHAQ        Vdq,Wdq,Hdq       XOP w0 l0
XOP.9 9B      VPSHAQ        Vdq,Hdq,Wdq       XOP w1 l0
XOP.9 C1      VPHADDBW      Vdq,Wdq           XOP w0 l0
XOP.9 C2      VPHADDBD      Vdq,Wdq           XOP w0 l0
XOP.9 C3      VPHADDBQ      Vdq,Wdq           XOP w0 l0
XOP.9 C6      VPHADDWD      Vdq,Wdq           XOP w0 l0
XOP.9 C7      VPHADDWQ      Vdq,Wdq           XOP w0 l0
XOP.9 CB      VPHADDDQ      Vdq,Wdq           XOP w0 l0
XOP.9 D1      VPHADDUBW     Vdq,Wdq           XOP w0 l0
XOP.9 D2      VPHADDUBD     Vdq,Wdq           XOP w0 l0
XOP.9 D3      VPHADDUBQ     Vdq,Wdq           XOP w0 l0
XOP.9 D6      VPHADDUWD     Vdq,Wdq           XOP w0 l0
XOP.9 D7      VPHADDUWQ     Vdq,Wdq           XOP w0 l0
XOP.9 DB      VPHADDUDQ     Vdq,Wdq           XOP w0 l0
XOP.9 E1      VPHSUBBW      Vdq,Wdq           XOP w0 l0
XOP.9 E2      VPHSUBWD      Vdq,Wdq           XOP w0 l0
XOP.9 E3      VPHSUBDQ      Vdq,Wdq           XOP w0 l0
XOP.A 10      BEXTR         Gy,Ey,uId         TBM l0
XOP.A 12 /0   LWPINS        By,Ed,uId         LWP l0
XOP.A 12 /1   LWPVAL        By,Ed,uId         LWP l0
VEX.66 0F 3A 48     VPERMIL2PS    Vx,Hx,Wx,Lx,nI   XOP w0
VEX.66 0F 3A 48     VPERMIL2PS    Vx,Hx,Lx,Wx,nI   XOP w1
VEX.66 0F 3A 49     VPERMIL2PD    Vx,Hx,Wx,Lx,nI   XOP w0
VEX.66 0F 3A 49     VPERMIL2PD    Vx,Hx,Lx,Wx,nI   XOP w1
0F 0F 0C      PI2FW         Pq,Qq             3DNOWEXT
0F 0F 0D      PI2FD         Pq,Qq             3DNOW
0F 0F 1C      PF2IW         Pq,Qq             3DNOWEXT
0F 0F 1D      PF2ID         Pq,Qq             3DNOW
0F 0F 8A      PFNACC        Pq,Qq             3DNOWEXT
0F 0F 8E      PFPNACC       Pq,Qq             3DNOWEXT
0F 0F 90      PFCMPGE       Pq,Qq             3DNOW
0F 0F 94      PFMIN         Pq,Qq             3DNOW
0F 0F 96      PFRCP         Pq,Qq             3DNOW
0F 0F 97      PFRSQRT       Pq,Qq             3DNOW
0F 0F 9A      PFSUB         Pq,Qq             3DNOW
0F 0F 9E      PFADD         Pq,Qq             3DNOW
0F 0F A0      PFCMPGT       Pq,Qq             3DNOW
0F 0F A4      PFMAX         Pq,Qq             3DNOW
0F 0F A6      PFRCPIT1      Pq,Qq             3DNOW
0F 0F A7      PFRSQIT1      Pq,Qq             3DNOW
0F 0F AA      PFSUBR        Pq,Qq             3DNOW
0F 0F AE      PFACC         Pq,Qq             3DNOW
0F 0F B0      PFCMPEQ       Pq,Qq             3DNOW
0F 0F B4      PFMUL         Pq,Qq             3DNOW
0F 0F B6      PFRCPIT2      Pq,Qq             3DNOW
0F 0F B7      PMULHRW       Pq,Qq             3DNOW
0F 0F BB      PSWAPD        Pq,Qq             3DNOWEXT
0F 0F BF      PAVGUSB       Pq,Qq             3DNOW
`
