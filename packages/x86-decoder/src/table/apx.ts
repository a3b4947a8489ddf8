/**
 * APX: instructions of EVEX map 4, and those of VEX that EVEX gives 32 general registers.
 *
 * Notation in `rows.ts`; `nd`: EVEX.ND, bit 4 of the third byte, is 1 (a new data destination in vvvv, or zeroed upper bits);
 * `nf`: EVEX.NF may be 1 (no flags are written), `nf1` it must; `scc`: a form for each condition that EVEX.SC can name; `norsp`:
 * no operand is RSP.
 *
 * Source: Intel "Advanced Performance Extensions (APX) Architecture Specification".
 */

/** Legacy instructions in EVEX map 4. */
export const apxRows: string = `
EVEX.NP M4 00        ADD           Eb,Gb       APX_F o64 nf
EVEX.NFx M4 01       ADD           Ev,Gv       APX_F o64 nf
EVEX.NP M4 02        ADD           Gb,Eb       APX_F o64 nf
EVEX.NFx M4 03       ADD           Gv,Ev       APX_F o64 nf
EVEX.NP M4 00        ADD           Bb,Eb,Gb    APX_F o64 nd nf
EVEX.NFx M4 01       ADD           Bv,Ev,Gv    APX_F o64 nd nf
EVEX.NP M4 02        ADD           Bb,Gb,Eb    APX_F o64 nd nf
EVEX.NFx M4 03       ADD           Bv,Gv,Ev    APX_F o64 nd nf
EVEX.NP M4 08        OR            Eb,Gb       APX_F o64 nf
EVEX.NFx M4 09       OR            Ev,Gv       APX_F o64 nf
EVEX.NP M4 0A        OR            Gb,Eb       APX_F o64 nf
EVEX.NFx M4 0B       OR            Gv,Ev       APX_F o64 nf
EVEX.NP M4 08        OR            Bb,Eb,Gb    APX_F o64 nd nf
EVEX.NFx M4 09       OR            Bv,Ev,Gv    APX_F o64 nd nf
EVEX.NP M4 0A        OR            Bb,Gb,Eb    APX_F o64 nd nf
EVEX.NFx M4 0B       OR            Bv,Gv,Ev    APX_F o64 nd nf
EVEX.NP M4 10        ADC           Eb,Gb       APX_F o64
EVEX.NFx M4 11       ADC           Ev,Gv       APX_F o64
EVEX.NP M4 12        ADC           Gb,Eb       APX_F o64
EVEX.NFx M4 13       ADC           Gv,Ev       APX_F o64
EVEX.NP M4 10        ADC           Bb,Eb,Gb    APX_F o64 nd
EVEX.NFx M4 11       ADC           Bv,Ev,Gv    APX_F o64 nd
EVEX.NP M4 12        ADC           Bb,Gb,Eb    APX_F o64 nd
EVEX.NFx M4 13       ADC           Bv,Gv,Ev    APX_F o64 nd
EVEX.NP M4 18        SBB           Eb,Gb       APX_F o64
EVEX.NFx M4 19       SBB           Ev,Gv       APX_F o64
EVEX.NP M4 1A        SBB           Gb,Eb       APX_F o64
EVEX.NFx M4 1B       SBB           Gv,Ev       APX_F o64
EVEX.NP M4 18        SBB           Bb,Eb,Gb    APX_F o64 nd
EVEX.NFx M4 19       SBB           Bv,Ev,Gv    APX_F o64 nd
EVEX.NP M4 1A        SBB           Bb,Gb,Eb    APX_F o64 nd
EVEX.NFx M4 1B       SBB           Bv,Gv,Ev    APX_F o64 nd
EVEX.NP M4 20        AND           Eb,Gb       APX_F o64 nf
EVEX.NFx M4 21       AND           Ev,Gv       APX_F o64 nf
EVEX.NP M4 22        AND           Gb,Eb       APX_F o64 nf
EVEX.NFx M4 23       AND           Gv,Ev       APX_F o64 nf
EVEX.NP M4 20        AND           Bb,Eb,Gb    APX_F o64 nd nf
EVEX.NFx M4 21       AND           Bv,Ev,Gv    APX_F o64 nd nf
EVEX.NP M4 22        AND           Bb,Gb,Eb    APX_F o64 nd nf
EVEX.NFx M4 23       AND           Bv,Gv,Ev    APX_F o64 nd nf
EVEX.NP M4 28        SUB           Eb,Gb       APX_F o64 nf
EVEX.NFx M4 29       SUB           Ev,Gv       APX_F o64 nf
EVEX.NP M4 2A        SUB           Gb,Eb       APX_F o64 nf
EVEX.NFx M4 2B       SUB           Gv,Ev       APX_F o64 nf
EVEX.NP M4 28        SUB           Bb,Eb,Gb    APX_F o64 nd nf
EVEX.NFx M4 29       SUB           Bv,Ev,Gv    APX_F o64 nd nf
EVEX.NP M4 2A        SUB           Bb,Gb,Eb    APX_F o64 nd nf
EVEX.NFx M4 2B       SUB           Bv,Gv,Ev    APX_F o64 nd nf
EVEX.NP M4 30        XOR           Eb,Gb       APX_F o64 nf
EVEX.NFx M4 31       XOR           Ev,Gv       APX_F o64 nf
EVEX.NP M4 32        XOR           Gb,Eb       APX_F o64 nf
EVEX.NFx M4 33       XOR           Gv,Ev       APX_F o64 nf
EVEX.NP M4 30        XOR           Bb,Eb,Gb    APX_F o64 nd nf
EVEX.NFx M4 31       XOR           Bv,Ev,Gv    APX_F o64 nd nf
EVEX.NP M4 32        XOR           Bb,Gb,Eb    APX_F o64 nd nf
EVEX.NFx M4 33       XOR           Bv,Gv,Ev    APX_F o64 nd nf
EVEX.NFx M4 24       SHLD          Ev,Gv,Ib    APX_F o64 nf
EVEX.NFx M4 24       SHLD          Bv,Ev,Gv,Ib  APX_F o64 nd nf
EVEX.NFx M4 2C       SHRD          Ev,Gv,Ib    APX_F o64 nf
EVEX.NFx M4 2C       SHRD          Bv,Ev,Gv,Ib  APX_F o64 nd nf
EVEX.NP M4 38        CCMP          F,Eb,Gb     APX_F o64 scc
EVEX.NFx M4 39       CCMP          F,Ev,Gv     APX_F o64 scc
EVEX.NP M4 3A        CCMP          F,Gb,Eb     APX_F o64 scc
EVEX.NFx M4 3B       CCMP          F,Gv,Ev     APX_F o64 scc
EVEX.NFx M4 40       CFCMOVO       Gv,Ev       APX_F o64
EVEX.NFx M4 40       CFCMOVO       Ev,Gv       APX_F o64 nf1
EVEX.NFx M4 40       CMOVO         Bv,Gv,Ev    APX_F o64 nd
EVEX.NFx M4 40       CFCMOVO       Bv,Gv,Ev    APX_F o64 nd nf1
EVEX.F2 M4 40        SETO          Eb          APX_F o64
EVEX.F2 M4 40        SETZUO        Eb          APX_F o64 nd
EVEX.NFx M4 41       CFCMOVNO      Gv,Ev       APX_F o64
EVEX.NFx M4 41       CFCMOVNO      Ev,Gv       APX_F o64 nf1
EVEX.NFx M4 41       CMOVNO        Bv,Gv,Ev    APX_F o64 nd
EVEX.NFx M4 41       CFCMOVNO      Bv,Gv,Ev    APX_F o64 nd nf1
EVEX.F2 M4 41        SETNO         Eb          APX_F o64
EVEX.F2 M4 41        SETZUNO       Eb          APX_F o64 nd
EVEX.NFx M4 42       CFCMOVB       Gv,Ev       APX_F o64
EVEX.NFx M4 42       CFCMOVB       Ev,Gv       APX_F o64 nf1
EVEX.NFx M4 42       CMOVB         Bv,Gv,Ev    APX_F o64 nd
EVEX.NFx M4 42       CFCMOVB       Bv,Gv,Ev    APX_F o64 nd nf1
EVEX.F2 M4 42        SETB          Eb          APX_F o64
EVEX.F2 M4 42        SETZUB        Eb          APX_F o64 nd
EVEX.NFx M4 43       CFCMOVAE      Gv,Ev       APX_F o64
EVEX.NFx M4 43       CFCMOVAE      Ev,Gv       APX_F o64 nf1
EVEX.NFx M4 43       CMOVAE        Bv,Gv,Ev    APX_F o64 nd
EVEX.NFx M4 43       CFCMOVAE      Bv,Gv,Ev    APX_F o64 nd nf1
EVEX.F2 M4 43        SETAE         Eb          APX_F o64
EVEX.F2 M4 43        SETZUAE       Eb          APX_F o64 nd
EVEX.NFx M4 44       CFCMOVE       Gv,Ev       APX_F o64
EVEX.NFx M4 44       CFCMOVE       Ev,Gv       APX_F o64 nf1
EVEX.NFx M4 44       CMOVE         Bv,Gv,Ev    APX_F o64 nd
EVEX.NFx M4 44       CFCMOVE       Bv,Gv,Ev    APX_F o64 nd nf1
EVEX.F2 M4 44        SETE          Eb          APX_F o64
EVEX.F2 M4 44        SETZUE        Eb          APX_F o64 nd
EVEX.NFx M4 45       CFCMOVNE      Gv,Ev       APX_F o64
EVEX.NFx M4 45       CFCMOVNE      Ev,Gv       APX_F o64 nf1
EVEX.NFx M4 45       CMOVNE        Bv,Gv,Ev    APX_F o64 nd
EVEX.NFx M4 45       CFCMOVNE      Bv,Gv,Ev    APX_F o64 nd nf1
EVEX.F2 M4 45        SETNE         Eb          APX_F o64
EVEX.F2 M4 45        SETZUNE       Eb          APX_F o64 nd
EVEX.NFx M4 46       CFCMOVBE      Gv,Ev       APX_F o64
EVEX.NFx M4 46       CFCMOVBE      Ev,Gv       APX_F o64 nf1
EVEX.NFx M4 46       CMOVBE        Bv,Gv,Ev    APX_F o64 nd
EVEX.NFx M4 46       CFCMOVBE      Bv,Gv,Ev    APX_F o64 nd nf1
EVEX.F2 M4 46        SETBE         Eb          APX_F o64
EVEX.F2 M4 46        SETZUBE       Eb          APX_F o64 nd
EVEX.NFx M4 47       CFCMOVA       Gv,Ev       APX_F o64
EVEX.NFx M4 47       CFCMOVA       Ev,Gv       APX_F o64 nf1
EVEX.NFx M4 47       CMOVA         Bv,Gv,Ev    APX_F o64 nd
EVEX.NFx M4 47       CFCMOVA       Bv,Gv,Ev    APX_F o64 nd nf1
EVEX.F2 M4 47        SETA          Eb          APX_F o64
EVEX.F2 M4 47        SETZUA        Eb          APX_F o64 nd
EVEX.NFx M4 48       CFCMOVS       Gv,Ev       APX_F o64
EVEX.NFx M4 48       CFCMOVS       Ev,Gv       APX_F o64 nf1
EVEX.NFx M4 48       CMOVS         Bv,Gv,Ev    APX_F o64 nd
EVEX.NFx M4 48       CFCMOVS       Bv,Gv,Ev    APX_F o64 nd nf1
EVEX.F2 M4 48        SETS          Eb          APX_F o64
EVEX.F2 M4 48        SETZUS        Eb          APX_F o64 nd
EVEX.NFx M4 49       CFCMOVNS      Gv,Ev       APX_F o64
EVEX.NFx M4 49       CFCMOVNS      Ev,Gv       APX_F o64 nf1
EVEX.NFx M4 49       CMOVNS        Bv,Gv,Ev    APX_F o64 nd
EVEX.NFx M4 49       CFCMOVNS      Bv,Gv,Ev    APX_F o64 nd nf1
EVEX.F2 M4 49        SETNS         Eb          APX_F o64
EVEX.F2 M4 49        SETZUNS       Eb          APX_F o64 nd
EVEX.NFx M4 4A       CFCMOVP       Gv,Ev       APX_F o64
EVEX.NFx M4 4A       CFCMOVP       Ev,Gv       APX_F o64 nf1
EVEX.NFx M4 4A       CMOVP         Bv,Gv,Ev    APX_F o64 nd
EVEX.NFx M4 4A       CFCMOVP       Bv,Gv,Ev    APX_F o64 nd nf1
EVEX.F2 M4 4A        SETP          Eb          APX_F o64
EVEX.F2 M4 4A        SETZUP        Eb          APX_F o64 nd
EVEX.NFx M4 4B       CFCMOVNP      Gv,Ev       APX_F o64
EVEX.NFx M4 4B       CFCMOVNP      Ev,Gv       APX_F o64 nf1
EVEX.NFx M4 4B       CMOVNP        Bv,Gv,Ev    APX_F o64 nd
EVEX.NFx M4 4B       CFCMOVNP      Bv,Gv,Ev    APX_F o64 nd nf1
EVEX.F2 M4 4B        SETNP         Eb          APX_F o64
EVEX.F2 M4 4B        SETZUNP       Eb          APX_F o64 nd
EVEX.NFx M4 4C       CFCMOVL       Gv,Ev       APX_F o64
EVEX.NFx M4 4C       CFCMOVL       Ev,Gv       APX_F o64 nf1
EVEX.NFx M4 4C       CMOVL         Bv,Gv,Ev    APX_F o64 nd
EVEX.NFx M4 4C       CFCMOVL       Bv,Gv,Ev    APX_F o64 nd nf1
EVEX.F2 M4 4C        SETL          Eb          APX_F o64
EVEX.F2 M4 4C        SETZUL        Eb          APX_F o64 nd
EVEX.NFx M4 4D       CFCMOVGE      Gv,Ev       APX_F o64
EVEX.NFx M4 4D       CFCMOVGE      Ev,Gv       APX_F o64 nf1
EVEX.NFx M4 4D       CMOVGE        Bv,Gv,Ev    APX_F o64 nd
EVEX.NFx M4 4D       CFCMOVGE      Bv,Gv,Ev    APX_F o64 nd nf1
EVEX.F2 M4 4D        SETGE         Eb          APX_F o64
EVEX.F2 M4 4D        SETZUGE       Eb          APX_F o64 nd
EVEX.NFx M4 4E       CFCMOVLE      Gv,Ev       APX_F o64
EVEX.NFx M4 4E       CFCMOVLE      Ev,Gv       APX_F o64 nf1
EVEX.NFx M4 4E       CMOVLE        Bv,Gv,Ev    APX_F o64 nd
EVEX.NFx M4 4E       CFCMOVLE      Bv,Gv,Ev    APX_F o64 nd nf1
EVEX.F2 M4 4E        SETLE         Eb          APX_F o64
EVEX.F2 M4 4E        SETZULE       Eb          APX_F o64 nd
EVEX.NFx M4 4F       CFCMOVG       Gv,Ev       APX_F o64
EVEX.NFx M4 4F       CFCMOVG       Ev,Gv       APX_F o64 nf1
EVEX.NFx M4 4F       CMOVG         Bv,Gv,Ev    APX_F o64 nd
EVEX.NFx M4 4F       CFCMOVG       Bv,Gv,Ev    APX_F o64 nd nf1
EVEX.F2 M4 4F        SETG          Eb          APX_F o64
EVEX.F2 M4 4F        SETZUG        Eb          APX_F o64 nd
EVEX.NFx M4 60       MOVBE         Gv,Ev       APX_F+MOVBE o64
EVEX.NFx M4 61       MOVBE         Ev,Gv       APX_F+MOVBE o64
EVEX.66 M4 65        WRUSSD/WRUSSQ  My,Gy       APX_F+CET_SS o64 cpl0
EVEX.NP M4 66        WRSSD/WRSSQ   My,Gy       APX_F+CET_SS o64
EVEX.66 M4 66        ADCX          Gy,Ey       APX_F+ADX o64
EVEX.66 M4 66        ADCX          By,Gy,Ey    APX_F+ADX o64 nd
EVEX.F3 M4 66        ADOX          Gy,Ey       APX_F+ADX o64
EVEX.F3 M4 66        ADOX          By,Gy,Ey    APX_F+ADX o64 nd
EVEX.NFx M4 69       IMUL          Gv,Ev,Iz    APX_F o64 nf
EVEX.NFx M4 69       IMULZU        Gv,Ev,Iz    APX_F o64 nd nf
EVEX.NFx M4 6B       IMUL          Gv,Ev,sIb   APX_F o64 nf
EVEX.NFx M4 6B       IMULZU        Gv,Ev,sIb   APX_F o64 nd nf
EVEX.NP M4 80 /0     ADD           Eb,Ib       APX_F o64 nf
EVEX.NP M4 80 /0     ADD           Bb,Eb,Ib    APX_F o64 nd nf
EVEX.NP M4 80 /1     OR            Eb,Ib       APX_F o64 nf
EVEX.NP M4 80 /1     OR            Bb,Eb,Ib    APX_F o64 nd nf
EVEX.NP M4 80 /2     ADC           Eb,Ib       APX_F o64
EVEX.NP M4 80 /2     ADC           Bb,Eb,Ib    APX_F o64 nd
EVEX.NP M4 80 /3     SBB           Eb,Ib       APX_F o64
EVEX.NP M4 80 /3     SBB           Bb,Eb,Ib    APX_F o64 nd
EVEX.NP M4 80 /4     AND           Eb,Ib       APX_F o64 nf
EVEX.NP M4 80 /4     AND           Bb,Eb,Ib    APX_F o64 nd nf
EVEX.NP M4 80 /5     SUB           Eb,Ib       APX_F o64 nf
EVEX.NP M4 80 /5     SUB           Bb,Eb,Ib    APX_F o64 nd nf
EVEX.NP M4 80 /6     XOR           Eb,Ib       APX_F o64 nf
EVEX.NP M4 80 /6     XOR           Bb,Eb,Ib    APX_F o64 nd nf
EVEX.NP M4 80 /7     CCMP          F,Eb,Ib     APX_F o64 scc
EVEX.NFx M4 81 /0    ADD           Ev,Iz       APX_F o64 nf
EVEX.NFx M4 81 /0    ADD           Bv,Ev,Iz    APX_F o64 nd nf
EVEX.NFx M4 81 /1    OR            Ev,Iz       APX_F o64 nf
EVEX.NFx M4 81 /1    OR            Bv,Ev,Iz    APX_F o64 nd nf
EVEX.NFx M4 81 /2    ADC           Ev,Iz       APX_F o64
EVEX.NFx M4 81 /2    ADC           Bv,Ev,Iz    APX_F o64 nd
EVEX.NFx M4 81 /3    SBB           Ev,Iz       APX_F o64
EVEX.NFx M4 81 /3    SBB           Bv,Ev,Iz    APX_F o64 nd
EVEX.NFx M4 81 /4    AND           Ev,Iz       APX_F o64 nf
EVEX.NFx M4 81 /4    AND           Bv,Ev,Iz    APX_F o64 nd nf
EVEX.NFx M4 81 /5    SUB           Ev,Iz       APX_F o64 nf
EVEX.NFx M4 81 /5    SUB           Bv,Ev,Iz    APX_F o64 nd nf
EVEX.NFx M4 81 /6    XOR           Ev,Iz       APX_F o64 nf
EVEX.NFx M4 81 /6    XOR           Bv,Ev,Iz    APX_F o64 nd nf
EVEX.NFx M4 81 /7    CCMP          F,Ev,Iz     APX_F o64 scc
EVEX.NFx M4 83 /0    ADD           Ev,sIb      APX_F o64 nf
EVEX.NFx M4 83 /0    ADD           Bv,Ev,sIb   APX_F o64 nd nf
EVEX.NFx M4 83 /1    OR            Ev,sIb      APX_F o64 nf
EVEX.NFx M4 83 /1    OR            Bv,Ev,sIb   APX_F o64 nd nf
EVEX.NFx M4 83 /2    ADC           Ev,sIb      APX_F o64
EVEX.NFx M4 83 /2    ADC           Bv,Ev,sIb   APX_F o64 nd
EVEX.NFx M4 83 /3    SBB           Ev,sIb      APX_F o64
EVEX.NFx M4 83 /3    SBB           Bv,Ev,sIb   APX_F o64 nd
EVEX.NFx M4 83 /4    AND           Ev,sIb      APX_F o64 nf
EVEX.NFx M4 83 /4    AND           Bv,Ev,sIb   APX_F o64 nd nf
EVEX.NFx M4 83 /5    SUB           Ev,sIb      APX_F o64 nf
EVEX.NFx M4 83 /5    SUB           Bv,Ev,sIb   APX_F o64 nd nf
EVEX.NFx M4 83 /6    XOR           Ev,sIb      APX_F o64 nf
EVEX.NFx M4 83 /6    XOR           Bv,Ev,sIb   APX_F o64 nd nf
EVEX.NFx M4 83 /7    CCMP          F,Ev,sIb    APX_F o64 scc
EVEX.NP M4 84        CTEST         F,Eb,Gb     APX_F o64 scc
EVEX.NFx M4 85       CTEST         F,Ev,Gv     APX_F o64 scc
EVEX.NFx M4 88       POPCNT        Gv,Ev       APX_F+POPCNT o64 nf
EVEX.NP M4 8A        MOVRS         Gb,Mb       APX_F+MOVRS o64
EVEX.NFx M4 8B       MOVRS         Gv,Mv       APX_F+MOVRS o64
EVEX.NP M4 8F /0     POP2          Bq,Rq       APX_F =v f64 o64 w0 nd distinct norsp
EVEX.NP M4 8F /0     POP2P         Bq,Rq       APX_F =v f64 o64 w1 nd distinct norsp
EVEX.NFx M4 A5       SHLD          Ev,Gv,CL    APX_F o64 nf
EVEX.NFx M4 A5       SHLD          Bv,Ev,Gv,CL  APX_F o64 nd nf
EVEX.NFx M4 AD       SHRD          Ev,Gv,CL    APX_F o64 nf
EVEX.NFx M4 AD       SHRD          Bv,Ev,Gv,CL  APX_F o64 nd nf
EVEX.NFx M4 AF       IMUL          Gv,Ev       APX_F o64 nf
EVEX.NFx M4 AF       IMUL          Bv,Gv,Ev    APX_F o64 nd nf
EVEX.NP M4 C0 /0     ROL           Eb,Ib       APX_F o64 nf
EVEX.NP M4 C0 /0     ROL           Bb,Eb,Ib    APX_F o64 nd nf
EVEX.NP M4 C0 /1     ROR           Eb,Ib       APX_F o64 nf
EVEX.NP M4 C0 /1     ROR           Bb,Eb,Ib    APX_F o64 nd nf
EVEX.NP M4 C0 /2     RCL           Eb,Ib       APX_F o64
EVEX.NP M4 C0 /2     RCL           Bb,Eb,Ib    APX_F o64 nd
EVEX.NP M4 C0 /3     RCR           Eb,Ib       APX_F o64
EVEX.NP M4 C0 /3     RCR           Bb,Eb,Ib    APX_F o64 nd
EVEX.NP M4 C0 /4     SHL           Eb,Ib       APX_F o64 nf
EVEX.NP M4 C0 /4     SHL           Bb,Eb,Ib    APX_F o64 nd nf
EVEX.NP M4 C0 /5     SHR           Eb,Ib       APX_F o64 nf
EVEX.NP M4 C0 /5     SHR           Bb,Eb,Ib    APX_F o64 nd nf
EVEX.NP M4 C0 /7     SAR           Eb,Ib       APX_F o64 nf
EVEX.NP M4 C0 /7     SAR           Bb,Eb,Ib    APX_F o64 nd nf
EVEX.NFx M4 C1 /0    ROL           Ev,Ib       APX_F o64 nf
EVEX.NFx M4 C1 /0    ROL           Bv,Ev,Ib    APX_F o64 nd nf
EVEX.NFx M4 C1 /1    ROR           Ev,Ib       APX_F o64 nf
EVEX.NFx M4 C1 /1    ROR           Bv,Ev,Ib    APX_F o64 nd nf
EVEX.NFx M4 C1 /2    RCL           Ev,Ib       APX_F o64
EVEX.NFx M4 C1 /2    RCL           Bv,Ev,Ib    APX_F o64 nd
EVEX.NFx M4 C1 /3    RCR           Ev,Ib       APX_F o64
EVEX.NFx M4 C1 /3    RCR           Bv,Ev,Ib    APX_F o64 nd
EVEX.NFx M4 C1 /4    SHL           Ev,Ib       APX_F o64 nf
EVEX.NFx M4 C1 /4    SHL           Bv,Ev,Ib    APX_F o64 nd nf
EVEX.NFx M4 C1 /5    SHR           Ev,Ib       APX_F o64 nf
EVEX.NFx M4 C1 /5    SHR           Bv,Ev,Ib    APX_F o64 nd nf
EVEX.NFx M4 C1 /7    SAR           Ev,Ib       APX_F o64 nf
EVEX.NFx M4 C1 /7    SAR           Bv,Ev,Ib    APX_F o64 nd nf
EVEX.NP M4 D0 /0     ROL           Eb,1        APX_F o64 nf
EVEX.NP M4 D0 /0     ROL           Bb,Eb,1     APX_F o64 nd nf
EVEX.NP M4 D0 /1     ROR           Eb,1        APX_F o64 nf
EVEX.NP M4 D0 /1     ROR           Bb,Eb,1     APX_F o64 nd nf
EVEX.NP M4 D0 /2     RCL           Eb,1        APX_F o64
EVEX.NP M4 D0 /2     RCL           Bb,Eb,1     APX_F o64 nd
EVEX.NP M4 D0 /3     RCR           Eb,1        APX_F o64
EVEX.NP M4 D0 /3     RCR           Bb,Eb,1     APX_F o64 nd
EVEX.NP M4 D0 /4     SHL           Eb,1        APX_F o64 nf
EVEX.NP M4 D0 /4     SHL           Bb,Eb,1     APX_F o64 nd nf
EVEX.NP M4 D0 /5     SHR           Eb,1        APX_F o64 nf
EVEX.NP M4 D0 /5     SHR           Bb,Eb,1     APX_F o64 nd nf
EVEX.NP M4 D0 /7     SAR           Eb,1        APX_F o64 nf
EVEX.NP M4 D0 /7     SAR           Bb,Eb,1     APX_F o64 nd nf
EVEX.NFx M4 D1 /0    ROL           Ev,1        APX_F o64 nf
EVEX.NFx M4 D1 /0    ROL           Bv,Ev,1     APX_F o64 nd nf
EVEX.NFx M4 D1 /1    ROR           Ev,1        APX_F o64 nf
EVEX.NFx M4 D1 /1    ROR           Bv,Ev,1     APX_F o64 nd nf
EVEX.NFx M4 D1 /2    RCL           Ev,1        APX_F o64
EVEX.NFx M4 D1 /2    RCL           Bv,Ev,1     APX_F o64 nd
EVEX.NFx M4 D1 /3    RCR           Ev,1        APX_F o64
EVEX.NFx M4 D1 /3    RCR           Bv,Ev,1     APX_F o64 nd
EVEX.NFx M4 D1 /4    SHL           Ev,1        APX_F o64 nf
EVEX.NFx M4 D1 /4    SHL           Bv,Ev,1     APX_F o64 nd nf
EVEX.NFx M4 D1 /5    SHR           Ev,1        APX_F o64 nf
EVEX.NFx M4 D1 /5    SHR           Bv,Ev,1     APX_F o64 nd nf
EVEX.NFx M4 D1 /7    SAR           Ev,1        APX_F o64 nf
EVEX.NFx M4 D1 /7    SAR           Bv,Ev,1     APX_F o64 nd nf
EVEX.NP M4 D2 /0     ROL           Eb,CL       APX_F o64 nf
EVEX.NP M4 D2 /0     ROL           Bb,Eb,CL    APX_F o64 nd nf
EVEX.NP M4 D2 /1     ROR           Eb,CL       APX_F o64 nf
EVEX.NP M4 D2 /1     ROR           Bb,Eb,CL    APX_F o64 nd nf
EVEX.NP M4 D2 /2     RCL           Eb,CL       APX_F o64
EVEX.NP M4 D2 /2     RCL           Bb,Eb,CL    APX_F o64 nd
EVEX.NP M4 D2 /3     RCR           Eb,CL       APX_F o64
EVEX.NP M4 D2 /3     RCR           Bb,Eb,CL    APX_F o64 nd
EVEX.NP M4 D2 /4     SHL           Eb,CL       APX_F o64 nf
EVEX.NP M4 D2 /4     SHL           Bb,Eb,CL    APX_F o64 nd nf
EVEX.NP M4 D2 /5     SHR           Eb,CL       APX_F o64 nf
EVEX.NP M4 D2 /5     SHR           Bb,Eb,CL    APX_F o64 nd nf
EVEX.NP M4 D2 /7     SAR           Eb,CL       APX_F o64 nf
EVEX.NP M4 D2 /7     SAR           Bb,Eb,CL    APX_F o64 nd nf
EVEX.NFx M4 D3 /0    ROL           Ev,CL       APX_F o64 nf
EVEX.NFx M4 D3 /0    ROL           Bv,Ev,CL    APX_F o64 nd nf
EVEX.NFx M4 D3 /1    ROR           Ev,CL       APX_F o64 nf
EVEX.NFx M4 D3 /1    ROR           Bv,Ev,CL    APX_F o64 nd nf
EVEX.NFx M4 D3 /2    RCL           Ev,CL       APX_F o64
EVEX.NFx M4 D3 /2    RCL           Bv,Ev,CL    APX_F o64 nd
EVEX.NFx M4 D3 /3    RCR           Ev,CL       APX_F o64
EVEX.NFx M4 D3 /3    RCR           Bv,Ev,CL    APX_F o64 nd
EVEX.NFx M4 D3 /4    SHL           Ev,CL       APX_F o64 nf
EVEX.NFx M4 D3 /4    SHL           Bv,Ev,CL    APX_F o64 nd nf
EVEX.NFx M4 D3 /5    SHR           Ev,CL       APX_F o64 nf
EVEX.NFx M4 D3 /5    SHR           Bv,Ev,CL    APX_F o64 nd nf
EVEX.NFx M4 D3 /7    SAR           Ev,CL       APX_F o64 nf
EVEX.NFx M4 D3 /7    SAR           Bv,Ev,CL    APX_F o64 nd nf
EVEX.NP M4 F0        CRC32         Gy,Eb       APX_F+SSE4_2 o64
EVEX.NFx M4 F1       CRC32         Gy,Ev       APX_F+SSE4_2 o64
EVEX.F3 M4 F0        INVEPT        Gy,Mdq      f64 APX_F+VMX o64 cpl0
EVEX.F3 M4 F1        INVVPID       Gy,Mdq      f64 APX_F+VMX o64 cpl0
EVEX.F3 M4 F2        INVPCID       Gy,Mdq      f64 APX_F+INVPCID o64 cpl0
EVEX.NFx M4 F4       TZCNT         Gv,Ev       APX_F+BMI1 o64 nf
EVEX.NFx M4 F5       LZCNT         Gv,Ev       APX_F+LZCNT o64 nf
EVEX.NP M4 F6 /0     CTEST         F,Eb,Ib     APX_F o64 scc
EVEX.NP M4 F6 /2     NOT           Eb          APX_F o64
EVEX.NP M4 F6 /2     NOT           Bb,Eb       APX_F o64 nd
EVEX.NP M4 F6 /3     NEG           Eb          APX_F o64 nf
EVEX.NP M4 F6 /3     NEG           Bb,Eb       APX_F o64 nd nf
EVEX.NP M4 F6 /4     MUL           Eb          APX_F o64 nf
EVEX.NP M4 F6 /5     IMUL          Eb          APX_F o64 nf
EVEX.NP M4 F6 /6     DIV           Eb          APX_F o64 nf
EVEX.NP M4 F6 /7     IDIV          Eb          APX_F o64 nf
EVEX.NFx M4 F7 /0    CTEST         F,Ev,Iz     APX_F o64 scc
EVEX.NFx M4 F7 /2    NOT           Ev          APX_F o64
EVEX.NFx M4 F7 /2    NOT           Bv,Ev       APX_F o64 nd
EVEX.NFx M4 F7 /3    NEG           Ev          APX_F o64 nf
EVEX.NFx M4 F7 /3    NEG           Bv,Ev       APX_F o64 nd nf
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
EVEX.NP M4 FC        AADD          My,Gy       APX_F+RAO_INT o64
EVEX.66 M4 FC        AAND          My,Gy       APX_F+RAO_INT o64
EVEX.F3 M4 FC        AXOR          My,Gy       APX_F+RAO_INT o64
EVEX.F2 M4 FC        AOR           My,Gy       APX_F+RAO_INT o64
EVEX.NP M4 FE /0     INC           Eb          APX_F o64 nf
EVEX.NP M4 FE /0     INC           Bb,Eb       APX_F o64 nd nf
EVEX.NP M4 FE /1     DEC           Eb          APX_F o64 nf
EVEX.NP M4 FE /1     DEC           Bb,Eb       APX_F o64 nd nf
EVEX.NFx M4 FF /0    INC           Ev          APX_F o64 nf
EVEX.NFx M4 FF /0    INC           Bv,Ev       APX_F o64 nd nf
EVEX.NFx M4 FF /1    DEC           Ev          APX_F o64 nf
EVEX.NFx M4 FF /1    DEC           Bv,Ev       APX_F o64 nd nf
EVEX.NP M4 FF /6     PUSH2         Bq,Rq       APX_F =v f64 o64 w0 nd norsp
EVEX.NP M4 FF /6     PUSH2P        Bq,Rq       APX_F =v f64 o64 w1 nd norsp
`

/** VEX instructions in EVEX, instructions that need REX2. */
export const apxPromotedRows: string = `
EVEX.NP 0F 90        KMOVW         kGw,kEw     APX_F+AVX512F o64 w0
EVEX.66 0F 90        KMOVB         kGb,kEb     APX_F+AVX512DQ o64 w0
EVEX.NP 0F 90        KMOVQ         kGq,kEq     APX_F+AVX512BW o64 w1
EVEX.66 0F 90        KMOVD         kGd,kEd     APX_F+AVX512BW o64 w1
EVEX.NP 0F 91        KMOVW         Mw,kGw      APX_F+AVX512F o64 w0
EVEX.66 0F 91        KMOVB         Mb,kGb      APX_F+AVX512DQ o64 w0
EVEX.NP 0F 91        KMOVQ         Mq,kGq      APX_F+AVX512BW o64 w1
EVEX.66 0F 91        KMOVD         Md,kGd      APX_F+AVX512BW o64 w1
EVEX.NP 0F 92        KMOVW         kGw,Rd      APX_F+AVX512F o64 w0
EVEX.66 0F 92        KMOVB         kGb,Rd      APX_F+AVX512DQ o64 w0
EVEX.F2 0F 92        KMOVD/KMOVQ   kGy,Ry      APX_F+AVX512BW o64
EVEX.NP 0F 93        KMOVW         Gd,kRw      APX_F+AVX512F o64 w0
EVEX.66 0F 93        KMOVB         Gd,kRb      APX_F+AVX512DQ o64 w0
EVEX.F2 0F 93        KMOVD/KMOVQ   Gy,kRy      APX_F+AVX512BW o64
EVEX.NP 0F 38 49 /0  LDTILECFG     Moq         APX_F+AMX_TILE w0 o64
EVEX.66 0F 38 49 /0  STTILECFG     Moq         APX_F+AMX_TILE w0 o64
EVEX.F2 0F 38 4A     TILELOADDRS   tG,M        APX_F+AMX_MOVRS w0 o64 sib
EVEX.66 0F 38 4A     TILELOADDRST1  tG,M        APX_F+AMX_MOVRS w0 o64 sib
EVEX.F2 0F 38 4B     TILELOADD     tG,M        APX_F+AMX_TILE w0 o64 sib
EVEX.66 0F 38 4B     TILELOADDT1   tG,M        APX_F+AMX_TILE w0 o64 sib
EVEX.F3 0F 38 4B     TILESTORED    M,tG        APX_F+AMX_TILE w0 o64 sib
EVEX.66 0F 38 E0     CMPOXADD      My,Gy,By    APX_F+CMPCCXADD o64
EVEX.66 0F 38 E1     CMPNOXADD     My,Gy,By    APX_F+CMPCCXADD o64
EVEX.66 0F 38 E2     CMPBXADD      My,Gy,By    APX_F+CMPCCXADD o64
EVEX.66 0F 38 E3     CMPNBXADD     My,Gy,By    APX_F+CMPCCXADD o64
EVEX.66 0F 38 E4     CMPZXADD      My,Gy,By    APX_F+CMPCCXADD o64
EVEX.66 0F 38 E5     CMPNZXADD     My,Gy,By    APX_F+CMPCCXADD o64
EVEX.66 0F 38 E6     CMPBEXADD     My,Gy,By    APX_F+CMPCCXADD o64
EVEX.66 0F 38 E7     CMPNBEXADD    My,Gy,By    APX_F+CMPCCXADD o64
EVEX.66 0F 38 E8     CMPSXADD      My,Gy,By    APX_F+CMPCCXADD o64
EVEX.66 0F 38 E9     CMPNSXADD     My,Gy,By    APX_F+CMPCCXADD o64
EVEX.66 0F 38 EA     CMPPXADD      My,Gy,By    APX_F+CMPCCXADD o64
EVEX.66 0F 38 EB     CMPNPXADD     My,Gy,By    APX_F+CMPCCXADD o64
EVEX.66 0F 38 EC     CMPLXADD      My,Gy,By    APX_F+CMPCCXADD o64
EVEX.66 0F 38 ED     CMPNLXADD     My,Gy,By    APX_F+CMPCCXADD o64
EVEX.66 0F 38 EE     CMPLEXADD     My,Gy,By    APX_F+CMPCCXADD o64
EVEX.66 0F 38 EF     CMPNLEXADD    My,Gy,By    APX_F+CMPCCXADD o64
EVEX.NP 0F 38 F2     ANDN          Gy,By,Ey    APX_F+BMI1 o64 nf
EVEX.NP 0F 38 F3 /1  BLSR          By,Ey       APX_F+BMI1 o64 nf
EVEX.NP 0F 38 F3 /2  BLSMSK        By,Ey       APX_F+BMI1 o64 nf
EVEX.NP 0F 38 F3 /3  BLSI          By,Ey       APX_F+BMI1 o64 nf
EVEX.NP 0F 38 F5     BZHI          Gy,Ey,By    APX_F+BMI2 o64 nf
EVEX.F3 0F 38 F5     PEXT          Gy,By,Ey    APX_F+BMI2 o64
EVEX.F2 0F 38 F5     PDEP          Gy,By,Ey    APX_F+BMI2 o64
EVEX.F2 0F 38 F6     MULX          Gy,By,Ey    APX_F+BMI2 o64
EVEX.NP 0F 38 F7     BEXTR         Gy,Ey,By    APX_F+BMI1 o64 nf
EVEX.66 0F 38 F7     SHLX          Gy,Ey,By    APX_F+BMI2 o64
EVEX.F3 0F 38 F7     SARX          Gy,Ey,By    APX_F+BMI2 o64
EVEX.F2 0F 38 F7     SHRX          Gy,Ey,By    APX_F+BMI2 o64
EVEX.F2 0F 3A F0     RORX          Gy,Ey,Ib    APX_F+BMI2 o64
EVEX.F2 M7 F6 /0     RDMSR         Rq,uId      APX_F+MSR_IMM w0 o64 cpl0
EVEX.F3 M7 F6 /0     WRMSRNS       uId,Rq      APX_F+MSR_IMM w0 o64 cpl0
EVEX.F2 M7 F8 /0     URDMSR        Rq,uId      APX_F+USER_MSR w0 o64
EVEX.F3 M7 F8 /0     UWRMSR        uId,Rq      APX_F+USER_MSR w0 o64
REX2.50+r            PUSHP         Zv          APX_F o64 f64
REX2.58+r            POPP          Zv          APX_F o64 f64
REX2.A1              JMPABS        Tq          APX_F o64 =v f64
`
