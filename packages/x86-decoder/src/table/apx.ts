/**
 * APX: instructions of EVEX map 4, and those that need REX2. Instructions with the opcode that they have without EVEX are in the
 * last column of their other rows.
 *
 * Notation in `rows.ts`; `nd`: EVEX.ND, bit 4 of the third byte, is 1 (a new data destination in vvvv, or zeroed upper bits);
 * `ndopt`: ND may be 0, or 1 with a new data destination; `nf`: EVEX.NF may be 1 (no flags are written), `nf1` it must; `scc`: a
 * form for each condition that EVEX.SC can name; `norsp`: no operand is RSP.
 *
 * Source: Intel "Advanced Performance Extensions (APX) Architecture Specification".
 */

/** Legacy instructions in EVEX map 4, and instructions that need REX2. */
export const apxRows: string = `
EVEX.NFx M4 24       SHLD          Ev,Gv,Ib    APX_F o64 ndopt nf
EVEX.NFx M4 2C       SHRD          Ev,Gv,Ib    APX_F o64 ndopt nf
EVEX.NP M4 38        CCMP          F,Eb,Gb     APX_F o64 scc
EVEX.NFx M4 39       CCMP          F,Ev,Gv     APX_F o64 scc
EVEX.NP M4 3A        CCMP          F,Gb,Eb     APX_F o64 scc
EVEX.NFx M4 3B       CCMP          F,Gv,Ev     APX_F o64 scc
EVEX.NFx M4 40+cc    CFCMOVcc      Gv,Ev       APX_F o64 as=CMOVcc
EVEX.NFx M4 40+cc    CFCMOVcc      Ev,Gv       APX_F o64 nf1 as=CMOVcc
EVEX.NFx M4 40+cc    CMOVcc        Bv,Gv,Ev    APX_F o64 nd
EVEX.NFx M4 40+cc    CFCMOVcc      Bv,Gv,Ev    APX_F o64 nd nf1 as=CMOVcc
EVEX.F2 M4 40+cc     SETcc         Eb          APX_F o64
EVEX.F2 M4 40+cc     SETZUcc       Eb          APX_F o64 nd as=SETcc
EVEX.NFx M4 60       MOVBE         Gv,Ev       APX_F+MOVBE o64
EVEX.NFx M4 61       MOVBE         Ev,Gv       APX_F+MOVBE o64
EVEX.66 M4 65        WRUSSD/WRUSSQ  My,Gy       APX_F+CET_SS o64 cpl0
EVEX.NP M4 66        WRSSD/WRSSQ   My,Gy       APX_F+CET_SS o64
EVEX.66 M4 66        ADCX          Gy,Ey       APX_F+ADX o64 ndopt
EVEX.F3 M4 66        ADOX          Gy,Ey       APX_F+ADX o64 ndopt
EVEX.NFx M4 69       IMULZU        Gv,Ev,Iz    APX_F o64 nd nf as=IMUL
EVEX.NFx M4 6B       IMULZU        Gv,Ev,sIb   APX_F o64 nd nf as=IMUL
EVEX.NP M4 80 /7     CCMP          F,Eb,Ib     APX_F o64 scc
EVEX.NFx M4 81 /7    CCMP          F,Ev,Iz     APX_F o64 scc
EVEX.NFx M4 83 /7    CCMP          F,Ev,sIb    APX_F o64 scc
EVEX.NP M4 84        CTEST         F,Eb,Gb     APX_F o64 scc
EVEX.NFx M4 85       CTEST         F,Ev,Gv     APX_F o64 scc
EVEX.NFx M4 88       POPCNT        Gv,Ev       APX_F+POPCNT o64 nf
EVEX.NP M4 8A        MOVRS         Gb,Mb       APX_F+MOVRS o64
EVEX.NFx M4 8B       MOVRS         Gv,Mv       APX_F+MOVRS o64
EVEX.NP M4 8F /0     POP2          Bq,Rq       APX_F =v f64 o64 w0 nd distinct norsp
EVEX.NP M4 8F /0     POP2P         Bq,Rq       APX_F =v f64 o64 w1 nd distinct norsp
EVEX.NFx M4 A5       SHLD          Ev,Gv,CL    APX_F o64 ndopt nf
EVEX.NFx M4 AD       SHRD          Ev,Gv,CL    APX_F o64 ndopt nf
EVEX.NFx M4 AF       IMUL          Gv,Ev       APX_F o64 ndopt nf
EVEX.NP M4 F0        CRC32         Gy,Eb       APX_F+SSE4_2 o64
EVEX.NFx M4 F1       CRC32         Gy,Ev       APX_F+SSE4_2 o64
EVEX.F3 M4 F0        INVEPT        Gy,Mdq      f64 APX_F+VMX o64 cpl0
EVEX.F3 M4 F1        INVVPID       Gy,Mdq      f64 APX_F+VMX o64 cpl0
EVEX.F3 M4 F2        INVPCID       Gy,Mdq      f64 APX_F+INVPCID o64 cpl0
EVEX.NFx M4 F4       TZCNT         Gv,Ev       APX_F+BMI1 o64 nf
EVEX.NFx M4 F5       LZCNT         Gv,Ev       APX_F+LZCNT o64 nf
EVEX.NP M4 F6 /0     CTEST         F,Eb,Ib     APX_F o64 scc
EVEX.NFx M4 F7 /0    CTEST         F,Ev,Iz     APX_F o64 scc
EVEX.66 M4 F8        MOVDIR64B     Gas,Moq     APX_F+MOVDIR64B w0 o64
EVEX.F2 M4 F8        ENQCMD        Gas,Moq     APX_F+ENQCMD w0 o64
EVEX.F3 M4 F8        ENQCMDS       Gas,Moq     APX_F+ENQCMD w0 o64 cpl0
EVEX.F2 M4 F8        URDMSR        Gq,Rq       APX_F+USER_MSR w0 o64
EVEX.F3 M4 F8        UWRMSR        Gq,Rq       APX_F+USER_MSR w0 o64
EVEX.NP M4 F9        MOVDIRI       My,Gy       APX_F+MOVDIRI o64
EVEX.NP M4 FC        AADD          My,Gy       APX_F+RAO_INT o64 atomic
EVEX.66 M4 FC        AAND          My,Gy       APX_F+RAO_INT o64 atomic
EVEX.F3 M4 FC        AXOR          My,Gy       APX_F+RAO_INT o64 atomic
EVEX.F2 M4 FC        AOR           My,Gy       APX_F+RAO_INT o64 atomic
EVEX.NP M4 FF /6     PUSH2         Bq,Rq       APX_F =v f64 o64 w0 nd norsp
EVEX.NP M4 FF /6     PUSH2P        Bq,Rq       APX_F =v f64 o64 w1 nd norsp
REX2.50+r            PUSHP         Zv          APX_F o64 f64
REX2.58+r            POPP          Zv          APX_F o64 f64
REX2.A1              JMPABS        Tq          APX_F o64 =v f64
`
