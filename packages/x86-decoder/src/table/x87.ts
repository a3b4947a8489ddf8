/**
 * The x87 escape opcodes D8 to DF, with the undocumented aliases that processors execute.
 *
 * Source: Intel SDM vol. 2D, Appendix A, "Escape Opcode Instructions"; the aliases are those of the 8087 to 80387
 * manuals, as AMD APM vol. 3, "x87 Encodings", still lists them.
 */
export const x87Rows: string = `
D8 /0    FADD        Md
D8 /1    FMUL        Md
D8 /2    FCOM        Md
D8 /3    FCOMP       Md
D8 /4    FSUB        Md
D8 /5    FSUBR       Md
D8 /6    FDIV        Md
D8 /7    FDIVR       Md
D8 /0    FADD        ST0,STi
D8 /1    FMUL        ST0,STi
D8 /2    FCOM        ST0,STi
D8 /3    FCOMP       ST0,STi
D8 /4    FSUB        ST0,STi
D8 /5    FSUBR       ST0,STi
D8 /6    FDIV        ST0,STi
D8 /7    FDIVR       ST0,STi
D9 /0    FLD         Md
D9 /2    FST         Md
D9 /3    FSTP        Md
D9 /4    FLDENV      Me
D9 /5    FLDCW       Mw
D9 /6    FNSTENV     Me
D9 /7    FNSTCW      Mw
D9 /0    FLD         STi
D9 /1    FXCH        STi
D9 (D0)  FNOP        -
D9 /3    FSTPNCE     STi
D9 (E0)  FCHS        -
D9 (E1)  FABS        -
D9 (E4)  FTST        -
D9 (E5)  FXAM        -
D9 (E8)  FLD1        -
D9 (E9)  FLDL2T      -
D9 (EA)  FLDL2E      -
D9 (EB)  FLDPI       -
D9 (EC)  FLDLG2      -
D9 (ED)  FLDLN2      -
D9 (EE)  FLDZ        -
D9 (F0)  F2XM1       -
D9 (F1)  FYL2X       -
D9 (F2)  FPTAN       -
D9 (F3)  FPATAN      -
D9 (F4)  FXTRACT     -
D9 (F5)  FPREM1      -
D9 (F6)  FDECSTP     -
D9 (F7)  FINCSTP     -
D9 (F8)  FPREM       -
D9 (F9)  FYL2XP1     -
D9 (FA)  FSQRT       -
D9 (FB)  FSINCOS     -
D9 (FC)  FRNDINT     -
D9 (FD)  FSCALE      -
D9 (FE)  FSIN        -
D9 (FF)  FCOS        -
DA /0    FIADD       Md
DA /1    FIMUL       Md
DA /2    FICOM       Md
DA /3    FICOMP      Md
DA /4    FISUB       Md
DA /5    FISUBR      Md
DA /6    FIDIV       Md
DA /7    FIDIVR      Md
DA /0    FCMOVB      ST0,STi     CMOV
DA /1    FCMOVE      ST0,STi     CMOV
DA /2    FCMOVBE     ST0,STi     CMOV
DA /3    FCMOVU      ST0,STi     CMOV
DA (E9)  FUCOMPP     -
DB /0    FILD        Md
DB /1    FISTTP      Md          SSE3
DB /2    FIST        Md
DB /3    FISTP       Md
DB /5    FLD         Mt
DB /7    FSTP        Mt
DB /0    FCMOVNB     ST0,STi     CMOV
DB /1    FCMOVNE     ST0,STi     CMOV
DB /2    FCMOVNBE    ST0,STi     CMOV
DB /3    FCMOVNU     ST0,STi     CMOV
DB (E0)  FNENI       -
DB (E1)  FNDISI      -
DB (E2)  FNCLEX      -
DB (E3)  FNINIT      -
DB (E4)  FNSETPM     -
DB /5    FUCOMI      ST0,STi     CMOV
DB /6    FCOMI       ST0,STi     CMOV
DC /0    FADD        Mq
DC /1    FMUL        Mq
DC /2    FCOM        Mq
DC /3    FCOMP       Mq
DC /4    FSUB        Mq
DC /5    FSUBR       Mq
DC /6    FDIV        Mq
DC /7    FDIVR       Mq
DC /0    FADD        STi,ST0
DC /1    FMUL        STi,ST0
DC /2    FCOM        ST0,STi     alias
DC /3    FCOMP       ST0,STi     alias
DC /4    FSUBR       STi,ST0
DC /5    FSUB        STi,ST0
DC /6    FDIVR       STi,ST0
DC /7    FDIV        STi,ST0
DD /0    FLD         Mq
DD /1    FISTTP      Mq          SSE3
DD /2    FST         Mq
DD /3    FSTP        Mq
DD /4    FRSTOR      Mf
DD /6    FNSAVE      Mf
DD /7    FNSTSW      Mw
DD /0    FFREE       STi
DD /1    FXCH        STi         alias
DD /2    FST         STi
DD /3    FSTP        STi
DD /4    FUCOM       STi
DD /5    FUCOMP      STi
DE /0    FIADD       Mw
DE /1    FIMUL       Mw
DE /2    FICOM       Mw
DE /3    FICOMP      Mw
DE /4    FISUB       Mw
DE /5    FISUBR      Mw
DE /6    FIDIV       Mw
DE /7    FIDIVR      Mw
DE /0    FADDP       STi,ST0
DE /1    FMULP       STi,ST0
DE /2    FCOMP       ST0,STi     alias
DE (D9)  FCOMPP      -
DE /4    FSUBRP      STi,ST0
DE /5    FSUBP       STi,ST0
DE /6    FDIVRP      STi,ST0
DE /7    FDIVP       STi,ST0
DF /0    FILD        Mw
DF /1    FISTTP      Mw          SSE3
DF /2    FIST        Mw
DF /3    FISTP       Mw
DF /4    FBLD        Mt
DF /5    FILD        Mq
DF /6    FBSTP       Mt
DF /7    FISTP       Mq
DF /0    FFREEP      STi
DF /1    FXCH        STi         alias
DF /2    FSTP        STi         alias
DF /3    FSTP        STi         alias
DF (E0)  FNSTSW      AX
DF /5    FUCOMIP     ST0,STi     CMOV
DF /6    FCOMIP      ST0,STi     CMOV
`
