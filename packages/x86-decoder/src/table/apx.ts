/**
 * APX: instructions of EVEX map 4, and those that need REX2. Instructions of VEX that EVEX gives 32 general registers are in the
 * last column of their rows.
 *
 * Notation in `rows.ts`; `nd`: EVEX.ND, bit 4 of the third byte, is 1 (a new data destination in vvvv, or zeroed upper bits);
 * `ndopt`: ND may be 0, or 1 with a new data destination; `nf`: EVEX.NF may be 1 (no flags are written), `nf1` it must; `scc`: a form for each condition that EVEX.SC can name; `norsp`:
 * no operand is RSP.
 *
 * Source: Intel "Advanced Performance Extensions (APX) Architecture Specification".
 */

/** Legacy instructions in EVEX map 4, and instructions that need REX2. */
export const apxRows: string = `
EVEX.NP M4 00        ADD           Eb,Gb       APX_F o64 ndopt nf
EVEX.NFx M4 01       ADD           Ev,Gv       APX_F o64 ndopt nf
EVEX.NP M4 02        ADD           Gb,Eb       APX_F o64 ndopt nf
EVEX.NFx M4 03       ADD           Gv,Ev       APX_F o64 ndopt nf
EVEX.NP M4 08        OR            Eb,Gb       APX_F o64 ndopt nf
EVEX.NFx M4 09       OR            Ev,Gv       APX_F o64 ndopt nf
EVEX.NP M4 0A        OR            Gb,Eb       APX_F o64 ndopt nf
EVEX.NFx M4 0B       OR            Gv,Ev       APX_F o64 ndopt nf
EVEX.NP M4 10        ADC           Eb,Gb       APX_F o64 ndopt
EVEX.NFx M4 11       ADC           Ev,Gv       APX_F o64 ndopt
EVEX.NP M4 12        ADC           Gb,Eb       APX_F o64 ndopt
EVEX.NFx M4 13       ADC           Gv,Ev       APX_F o64 ndopt
EVEX.NP M4 18        SBB           Eb,Gb       APX_F o64 ndopt
EVEX.NFx M4 19       SBB           Ev,Gv       APX_F o64 ndopt
EVEX.NP M4 1A        SBB           Gb,Eb       APX_F o64 ndopt
EVEX.NFx M4 1B       SBB           Gv,Ev       APX_F o64 ndopt
EVEX.NP M4 20        AND           Eb,Gb       APX_F o64 ndopt nf
EVEX.NFx M4 21       AND           Ev,Gv       APX_F o64 ndopt nf
EVEX.NP M4 22        AND           Gb,Eb       APX_F o64 ndopt nf
EVEX.NFx M4 23       AND           Gv,Ev       APX_F o64 ndopt nf
EVEX.NP M4 28        SUB           Eb,Gb       APX_F o64 ndopt nf
EVEX.NFx M4 29       SUB           Ev,Gv       APX_F o64 ndopt nf
EVEX.NP M4 2A        SUB           Gb,Eb       APX_F o64 ndopt nf
EVEX.NFx M4 2B       SUB           Gv,Ev       APX_F o64 ndopt nf
EVEX.NP M4 30        XOR           Eb,Gb       APX_F o64 ndopt nf
EVEX.NFx M4 31       XOR           Ev,Gv       APX_F o64 ndopt nf
EVEX.NP M4 32        XOR           Gb,Eb       APX_F o64 ndopt nf
EVEX.NFx M4 33       XOR           Gv,Ev       APX_F o64 ndopt nf
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
EVEX.NFx M4 69       IMUL          Gv,Ev,Iz    APX_F o64 nf
EVEX.NFx M4 69       IMULZU        Gv,Ev,Iz    APX_F o64 nd nf as=IMUL
EVEX.NFx M4 6B       IMUL          Gv,Ev,sIb   APX_F o64 nf
EVEX.NFx M4 6B       IMULZU        Gv,Ev,sIb   APX_F o64 nd nf as=IMUL
EVEX.NP M4 80 /0     ADD           Eb,Ib       APX_F o64 ndopt nf
EVEX.NP M4 80 /1     OR            Eb,Ib       APX_F o64 ndopt nf
EVEX.NP M4 80 /2     ADC           Eb,Ib       APX_F o64 ndopt
EVEX.NP M4 80 /3     SBB           Eb,Ib       APX_F o64 ndopt
EVEX.NP M4 80 /4     AND           Eb,Ib       APX_F o64 ndopt nf
EVEX.NP M4 80 /5     SUB           Eb,Ib       APX_F o64 ndopt nf
EVEX.NP M4 80 /6     XOR           Eb,Ib       APX_F o64 ndopt nf
EVEX.NP M4 80 /7     CCMP          F,Eb,Ib     APX_F o64 scc
EVEX.NFx M4 81 /0    ADD           Ev,Iz       APX_F o64 ndopt nf
EVEX.NFx M4 81 /1    OR            Ev,Iz       APX_F o64 ndopt nf
EVEX.NFx M4 81 /2    ADC           Ev,Iz       APX_F o64 ndopt
EVEX.NFx M4 81 /3    SBB           Ev,Iz       APX_F o64 ndopt
EVEX.NFx M4 81 /4    AND           Ev,Iz       APX_F o64 ndopt nf
EVEX.NFx M4 81 /5    SUB           Ev,Iz       APX_F o64 ndopt nf
EVEX.NFx M4 81 /6    XOR           Ev,Iz       APX_F o64 ndopt nf
EVEX.NFx M4 81 /7    CCMP          F,Ev,Iz     APX_F o64 scc
EVEX.NFx M4 83 /0    ADD           Ev,sIb      APX_F o64 ndopt nf
EVEX.NFx M4 83 /1    OR            Ev,sIb      APX_F o64 ndopt nf
EVEX.NFx M4 83 /2    ADC           Ev,sIb      APX_F o64 ndopt
EVEX.NFx M4 83 /3    SBB           Ev,sIb      APX_F o64 ndopt
EVEX.NFx M4 83 /4    AND           Ev,sIb      APX_F o64 ndopt nf
EVEX.NFx M4 83 /5    SUB           Ev,sIb      APX_F o64 ndopt nf
EVEX.NFx M4 83 /6    XOR           Ev,sIb      APX_F o64 ndopt nf
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
EVEX.NP M4 C0 /0     ROL           Eb,Ib       APX_F o64 ndopt nf
EVEX.NP M4 C0 /1     ROR           Eb,Ib       APX_F o64 ndopt nf
EVEX.NP M4 C0 /2     RCL           Eb,Ib       APX_F o64 ndopt
EVEX.NP M4 C0 /3     RCR           Eb,Ib       APX_F o64 ndopt
EVEX.NP M4 C0 /4     SHL           Eb,Ib       APX_F o64 ndopt nf
EVEX.NP M4 C0 /5     SHR           Eb,Ib       APX_F o64 ndopt nf
EVEX.NP M4 C0 /7     SAR           Eb,Ib       APX_F o64 ndopt nf
EVEX.NFx M4 C1 /0    ROL           Ev,Ib       APX_F o64 ndopt nf
EVEX.NFx M4 C1 /1    ROR           Ev,Ib       APX_F o64 ndopt nf
EVEX.NFx M4 C1 /2    RCL           Ev,Ib       APX_F o64 ndopt
EVEX.NFx M4 C1 /3    RCR           Ev,Ib       APX_F o64 ndopt
EVEX.NFx M4 C1 /4    SHL           Ev,Ib       APX_F o64 ndopt nf
EVEX.NFx M4 C1 /5    SHR           Ev,Ib       APX_F o64 ndopt nf
EVEX.NFx M4 C1 /7    SAR           Ev,Ib       APX_F o64 ndopt nf
EVEX.NP M4 D0 /0     ROL           Eb,1        APX_F o64 ndopt nf
EVEX.NP M4 D0 /1     ROR           Eb,1        APX_F o64 ndopt nf
EVEX.NP M4 D0 /2     RCL           Eb,1        APX_F o64 ndopt
EVEX.NP M4 D0 /3     RCR           Eb,1        APX_F o64 ndopt
EVEX.NP M4 D0 /4     SHL           Eb,1        APX_F o64 ndopt nf
EVEX.NP M4 D0 /5     SHR           Eb,1        APX_F o64 ndopt nf
EVEX.NP M4 D0 /7     SAR           Eb,1        APX_F o64 ndopt nf
EVEX.NFx M4 D1 /0    ROL           Ev,1        APX_F o64 ndopt nf
EVEX.NFx M4 D1 /1    ROR           Ev,1        APX_F o64 ndopt nf
EVEX.NFx M4 D1 /2    RCL           Ev,1        APX_F o64 ndopt
EVEX.NFx M4 D1 /3    RCR           Ev,1        APX_F o64 ndopt
EVEX.NFx M4 D1 /4    SHL           Ev,1        APX_F o64 ndopt nf
EVEX.NFx M4 D1 /5    SHR           Ev,1        APX_F o64 ndopt nf
EVEX.NFx M4 D1 /7    SAR           Ev,1        APX_F o64 ndopt nf
EVEX.NP M4 D2 /0     ROL           Eb,CL       APX_F o64 ndopt nf
EVEX.NP M4 D2 /1     ROR           Eb,CL       APX_F o64 ndopt nf
EVEX.NP M4 D2 /2     RCL           Eb,CL       APX_F o64 ndopt
EVEX.NP M4 D2 /3     RCR           Eb,CL       APX_F o64 ndopt
EVEX.NP M4 D2 /4     SHL           Eb,CL       APX_F o64 ndopt nf
EVEX.NP M4 D2 /5     SHR           Eb,CL       APX_F o64 ndopt nf
EVEX.NP M4 D2 /7     SAR           Eb,CL       APX_F o64 ndopt nf
EVEX.NFx M4 D3 /0    ROL           Ev,CL       APX_F o64 ndopt nf
EVEX.NFx M4 D3 /1    ROR           Ev,CL       APX_F o64 ndopt nf
EVEX.NFx M4 D3 /2    RCL           Ev,CL       APX_F o64 ndopt
EVEX.NFx M4 D3 /3    RCR           Ev,CL       APX_F o64 ndopt
EVEX.NFx M4 D3 /4    SHL           Ev,CL       APX_F o64 ndopt nf
EVEX.NFx M4 D3 /5    SHR           Ev,CL       APX_F o64 ndopt nf
EVEX.NFx M4 D3 /7    SAR           Ev,CL       APX_F o64 ndopt nf
EVEX.NP M4 F0        CRC32         Gy,Eb       APX_F+SSE4_2 o64
EVEX.NFx M4 F1       CRC32         Gy,Ev       APX_F+SSE4_2 o64
EVEX.F3 M4 F0        INVEPT        Gy,Mdq      f64 APX_F+VMX o64 cpl0
EVEX.F3 M4 F1        INVVPID       Gy,Mdq      f64 APX_F+VMX o64 cpl0
EVEX.F3 M4 F2        INVPCID       Gy,Mdq      f64 APX_F+INVPCID o64 cpl0
EVEX.NFx M4 F4       TZCNT         Gv,Ev       APX_F+BMI1 o64 nf
EVEX.NFx M4 F5       LZCNT         Gv,Ev       APX_F+LZCNT o64 nf
EVEX.NP M4 F6 /0     CTEST         F,Eb,Ib     APX_F o64 scc
EVEX.NP M4 F6 /2     NOT           Eb          APX_F o64 ndopt
EVEX.NP M4 F6 /3     NEG           Eb          APX_F o64 ndopt nf
EVEX.NP M4 F6 /4     MUL           Eb          APX_F o64 nf
EVEX.NP M4 F6 /5     IMUL          Eb          APX_F o64 nf
EVEX.NP M4 F6 /6     DIV           Eb          APX_F o64 nf
EVEX.NP M4 F6 /7     IDIV          Eb          APX_F o64 nf
EVEX.NFx M4 F7 /0    CTEST         F,Ev,Iz     APX_F o64 scc
EVEX.NFx M4 F7 /2    NOT           Ev          APX_F o64 ndopt
EVEX.NFx M4 F7 /3    NEG           Ev          APX_F o64 ndopt nf
EVEX.NFx M4 F7 /4    MUL           Ev          APX_F o64 nf
EVEX.NFx M4 F7 /5    IMUL          Ev          APX_F o64 nf
EVEX.NFx M4 F7 /6    DIV           Ev          APX_F o64 nf
EVEX.NFx M4 F7 /7    IDIV          Ev          APX_F o64 nf
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
EVEX.NP M4 FE /0     INC           Eb          APX_F o64 ndopt nf
EVEX.NP M4 FE /1     DEC           Eb          APX_F o64 ndopt nf
EVEX.NFx M4 FF /0    INC           Ev          APX_F o64 ndopt nf
EVEX.NFx M4 FF /1    DEC           Ev          APX_F o64 ndopt nf
EVEX.NP M4 FF /6     PUSH2         Bq,Rq       APX_F =v f64 o64 w0 nd norsp
EVEX.NP M4 FF /6     PUSH2P        Bq,Rq       APX_F =v f64 o64 w1 nd norsp
REX2.50+r            PUSHP         Zv          APX_F o64 f64
REX2.58+r            POPP          Zv          APX_F o64 f64
REX2.A1              JMPABS        Tq          APX_F o64 =v f64
`
