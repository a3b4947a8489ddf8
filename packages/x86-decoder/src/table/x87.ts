/**
 * The x87 escape opcodes D8 to DF, with the undocumented aliases that processors execute.
 *
 * Source: Intel SDM vol. 2D, Appendix A, "Escape Opcode Instructions"; the aliases are those of the 8087 to 80387
 * manuals, as AMD APM vol. 3, "x87 Encodings", still lists them.
 */
export const x87Rows: string = `
D8 /0    FADD        Md              FPU
D8 /1    FMUL        Md              FPU
D8 /2    FCOM        Md              FPU
D8 /3    FCOMP       Md              FPU
D8 /4    FSUB        Md              FPU
D8 /5    FSUBR       Md              FPU
D8 /6    FDIV        Md              FPU
D8 /7    FDIVR       Md              FPU
D8 /0    FADD        ST0,STi         FPU
D8 /1    FMUL        ST0,STi         FPU
D8 /2    FCOM        ST0,STi         FPU
D8 /3    FCOMP       ST0,STi         FPU
D8 /4    FSUB        ST0,STi         FPU
D8 /5    FSUBR       ST0,STi         FPU
D8 /6    FDIV        ST0,STi         FPU
D8 /7    FDIVR       ST0,STi         FPU
D9 /0    FLD         Md              FPU
D9 /2    FST         Md              FPU
D9 /3    FSTP        Md              FPU
D9 /4    FLDENV      Me              FPU
D9 /5    FLDCW       Mw              FPU
D9 /6    FNSTENV     Me              FPU
D9 /7    FNSTCW      Mw              FPU
D9 /0    FLD         STi             FPU
D9 /1    FXCH        STi             FPU
D9 (D0)  FNOP        -               FPU
D9 /3    FSTPNCE     STi             FPU
D9 (E0)  FCHS        -               FPU
D9 (E1)  FABS        -               FPU
D9 (E4)  FTST        -               FPU
D9 (E5)  FXAM        -               FPU
D9 (E8)  FLD1        -               FPU
D9 (E9)  FLDL2T      -               FPU
D9 (EA)  FLDL2E      -               FPU
D9 (EB)  FLDPI       -               FPU
D9 (EC)  FLDLG2      -               FPU
D9 (ED)  FLDLN2      -               FPU
D9 (EE)  FLDZ        -               FPU
D9 (F0)  F2XM1       -               FPU
D9 (F1)  FYL2X       -               FPU
D9 (F2)  FPTAN       -               FPU
D9 (F3)  FPATAN      -               FPU
D9 (F4)  FXTRACT     -               FPU
D9 (F5)  FPREM1      -               FPU
D9 (F6)  FDECSTP     -               FPU
D9 (F7)  FINCSTP     -               FPU
D9 (F8)  FPREM       -               FPU
D9 (F9)  FYL2XP1     -               FPU
D9 (FA)  FSQRT       -               FPU
D9 (FB)  FSINCOS     -               FPU
D9 (FC)  FRNDINT     -               FPU
D9 (FD)  FSCALE      -               FPU
D9 (FE)  FSIN        -               FPU
D9 (FF)  FCOS        -               FPU
DA /0    FIADD       Md              FPU
DA /1    FIMUL       Md              FPU
DA /2    FICOM       Md              FPU
DA /3    FICOMP      Md              FPU
DA /4    FISUB       Md              FPU
DA /5    FISUBR      Md              FPU
DA /6    FIDIV       Md              FPU
DA /7    FIDIVR      Md              FPU
DA /0    FCMOVB      ST0,STi     FPU+CMOV
DA /1    FCMOVE      ST0,STi     FPU+CMOV
DA /2    FCMOVBE     ST0,STi     FPU+CMOV
DA /3    FCMOVU      ST0,STi     FPU+CMOV
DA (E9)  FUCOMPP     -               FPU
DB /0    FILD        Md              FPU
DB /1    FISTTP      Md          FPU+SSE3
DB /2    FIST        Md              FPU
DB /3    FISTP       Md              FPU
DB /5    FLD         Mt              FPU
DB /7    FSTP        Mt              FPU
DB /0    FCMOVNB     ST0,STi     FPU+CMOV
DB /1    FCMOVNE     ST0,STi     FPU+CMOV
DB /2    FCMOVNBE    ST0,STi     FPU+CMOV
DB /3    FCMOVNU     ST0,STi     FPU+CMOV
DB (E0)  FNENI       -               FPU
DB (E1)  FNDISI      -               FPU
DB (E2)  FNCLEX      -               FPU
DB (E3)  FNINIT      -               FPU
DB (E4)  FNSETPM     -               FPU
DB /5    FUCOMI      ST0,STi     FPU+CMOV
DB /6    FCOMI       ST0,STi     FPU+CMOV
DC /0    FADD        Mq              FPU
DC /1    FMUL        Mq              FPU
DC /2    FCOM        Mq              FPU
DC /3    FCOMP       Mq              FPU
DC /4    FSUB        Mq              FPU
DC /5    FSUBR       Mq              FPU
DC /6    FDIV        Mq              FPU
DC /7    FDIVR       Mq              FPU
DC /0    FADD        STi,ST0         FPU
DC /1    FMUL        STi,ST0         FPU
DC /2    FCOM        ST0,STi     alias FPU
DC /3    FCOMP       ST0,STi     alias FPU
DC /4    FSUBR       STi,ST0         FPU
DC /5    FSUB        STi,ST0         FPU
DC /6    FDIVR       STi,ST0         FPU
DC /7    FDIV        STi,ST0         FPU
DD /0    FLD         Mq              FPU
DD /1    FISTTP      Mq          FPU+SSE3
DD /2    FST         Mq              FPU
DD /3    FSTP        Mq              FPU
DD /4    FRSTOR      Mf              FPU
DD /6    FNSAVE      Mf              FPU
DD /7    FNSTSW      Mw              FPU
DD /0    FFREE       STi             FPU
DD /1    FXCH        STi         alias FPU
DD /2    FST         STi             FPU
DD /3    FSTP        STi             FPU
DD /4    FUCOM       STi             FPU
DD /5    FUCOMP      STi             FPU
DE /0    FIADD       Mw              FPU
DE /1    FIMUL       Mw              FPU
DE /2    FICOM       Mw              FPU
DE /3    FICOMP      Mw              FPU
DE /4    FISUB       Mw              FPU
DE /5    FISUBR      Mw              FPU
DE /6    FIDIV       Mw              FPU
DE /7    FIDIVR      Mw              FPU
DE /0    FADDP       STi,ST0         FPU
DE /1    FMULP       STi,ST0         FPU
DE /2    FCOMP       ST0,STi     alias FPU
DE (D9)  FCOMPP      -               FPU
DE /4    FSUBRP      STi,ST0         FPU
DE /5    FSUBP       STi,ST0         FPU
DE /6    FDIVRP      STi,ST0         FPU
DE /7    FDIVP       STi,ST0         FPU
DF /0    FILD        Mw              FPU
DF /1    FISTTP      Mw          FPU+SSE3
DF /2    FIST        Mw              FPU
DF /3    FISTP       Mw              FPU
DF /4    FBLD        Mt              FPU
DF /5    FILD        Mq              FPU
DF /6    FBSTP       Mt              FPU
DF /7    FISTP       Mq              FPU
DF /0    FFREEP      STi             FPU
DF /1    FXCH        STi         alias FPU
DF /2    FSTP        STi         alias FPU
DF /3    FSTP        STi         alias FPU
DF (E0)  FNSTSW      AX              FPU
DF /5    FUCOMIP     ST0,STi     FPU+CMOV
DF /6    FCOMIP      ST0,STi     FPU+CMOV
`
