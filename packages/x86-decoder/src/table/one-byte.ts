/**
 * The one-byte opcode map.
 *
 * Columns, two or more spaces apart: opcode, mnemonic, operands, attributes. The notation is explained in `rows.ts`.
 * The first row that fits wins, so a special case stands above the general one.
 *
 * Source: Intel SDM vol. 2D, Appendix A, "One-byte Opcode Map", "Opcode Extensions for One-Byte and Two-byte Opcodes".
 */
export const oneByteRows: string = `
00       ADD         Eb,Gb       lock         APX_F o64 ndopt nf
01       ADD         Ev,Gv       lock         APX_F o64 ndopt nf
02       ADD         Gb,Eb       -            APX_F o64 ndopt nf
03       ADD         Gv,Ev       -            APX_F o64 ndopt nf
04       ADD         AL,Ib
05       ADD         rAX,Iz
06       PUSH        ES          =v i64
07       POP         ES          =v i64
08       OR          Eb,Gb       lock         APX_F o64 ndopt nf
09       OR          Ev,Gv       lock         APX_F o64 ndopt nf
0A       OR          Gb,Eb       -            APX_F o64 ndopt nf
0B       OR          Gv,Ev       -            APX_F o64 ndopt nf
0C       OR          AL,Ib
0D       OR          rAX,Iz
0E       PUSH        CS          =v i64
10       ADC         Eb,Gb       lock         APX_F o64 ndopt
11       ADC         Ev,Gv       lock         APX_F o64 ndopt
12       ADC         Gb,Eb       -            APX_F o64 ndopt
13       ADC         Gv,Ev       -            APX_F o64 ndopt
14       ADC         AL,Ib
15       ADC         rAX,Iz
16       PUSH        SS          =v i64
17       POP         SS          =v i64
18       SBB         Eb,Gb       lock         APX_F o64 ndopt
19       SBB         Ev,Gv       lock         APX_F o64 ndopt
1A       SBB         Gb,Eb       -            APX_F o64 ndopt
1B       SBB         Gv,Ev       -            APX_F o64 ndopt
1C       SBB         AL,Ib
1D       SBB         rAX,Iz
1E       PUSH        DS          =v i64
1F       POP         DS          =v i64
20       AND         Eb,Gb       lock         APX_F o64 ndopt nf
21       AND         Ev,Gv       lock         APX_F o64 ndopt nf
22       AND         Gb,Eb       -            APX_F o64 ndopt nf
23       AND         Gv,Ev       -            APX_F o64 ndopt nf
24       AND         AL,Ib
25       AND         rAX,Iz
27       DAA         -           i64
28       SUB         Eb,Gb       lock         APX_F o64 ndopt nf
29       SUB         Ev,Gv       lock         APX_F o64 ndopt nf
2A       SUB         Gb,Eb       -            APX_F o64 ndopt nf
2B       SUB         Gv,Ev       -            APX_F o64 ndopt nf
2C       SUB         AL,Ib
2D       SUB         rAX,Iz
2F       DAS         -           i64
30       XOR         Eb,Gb       lock         APX_F o64 ndopt nf
31       XOR         Ev,Gv       lock         APX_F o64 ndopt nf
32       XOR         Gb,Eb       -            APX_F o64 ndopt nf
33       XOR         Gv,Ev       -            APX_F o64 ndopt nf
34       XOR         AL,Ib
35       XOR         rAX,Iz
37       AAA         -           i64
38       CMP         Eb,Gb
39       CMP         Ev,Gv
3A       CMP         Gb,Eb
3B       CMP         Gv,Ev
3C       CMP         AL,Ib
3D       CMP         rAX,Iz
3F       AAS         -           i64
40+r     INC         Zv          i64
48+r     DEC         Zv          i64
50+r     PUSH        Zv          d64
58+r     POP         Zv          d64
60       PUSHA/PUSHAD  -           =v i64
61       POPA/POPAD  -           =v i64
62       BOUND       Gv,Ma       i64
63       ARPL        Ew,Gw       i64 protected
63       MOVSXD      Gv,Ez       o64
68       PUSH        Iz          =v d64
69       IMUL        Gv,Ev,Iz    -            APX_F o64 nf
6A       PUSH        sIb         =v d64
6B       IMUL        Gv,Ev,sIb   -            APX_F o64 nf
6C       INSB        Yb,DX       rep iopl
6D       INSW/INSD   Yz,DX       rep iopl
6E       OUTSB       DX,Xb       rep iopl
6F       OUTSW/OUTSD  DX,Xz       rep iopl
70+cc    Jcc         Jb          =v n64
80 /0    ADD         Eb,Ib       lock         APX_F o64 ndopt nf
80 /1    OR          Eb,Ib       lock         APX_F o64 ndopt nf
80 /2    ADC         Eb,Ib       lock         APX_F o64 ndopt
80 /3    SBB         Eb,Ib       lock         APX_F o64 ndopt
80 /4    AND         Eb,Ib       lock         APX_F o64 ndopt nf
80 /5    SUB         Eb,Ib       lock         APX_F o64 ndopt nf
80 /6    XOR         Eb,Ib       lock         APX_F o64 ndopt nf
80 /7    CMP         Eb,Ib
81 /0    ADD         Ev,Iz       lock         APX_F o64 ndopt nf
81 /1    OR          Ev,Iz       lock         APX_F o64 ndopt nf
81 /2    ADC         Ev,Iz       lock         APX_F o64 ndopt
81 /3    SBB         Ev,Iz       lock         APX_F o64 ndopt
81 /4    AND         Ev,Iz       lock         APX_F o64 ndopt nf
81 /5    SUB         Ev,Iz       lock         APX_F o64 ndopt nf
81 /6    XOR         Ev,Iz       lock         APX_F o64 ndopt nf
81 /7    CMP         Ev,Iz
82 /0    ADD         Eb,Ib       lock i64 alias
82 /1    OR          Eb,Ib       lock i64 alias
82 /2    ADC         Eb,Ib       lock i64 alias
82 /3    SBB         Eb,Ib       lock i64 alias
82 /4    AND         Eb,Ib       lock i64 alias
82 /5    SUB         Eb,Ib       lock i64 alias
82 /6    XOR         Eb,Ib       lock i64 alias
82 /7    CMP         Eb,Ib       i64 alias
83 /0    ADD         Ev,sIb      lock         APX_F o64 ndopt nf
83 /1    OR          Ev,sIb      lock         APX_F o64 ndopt nf
83 /2    ADC         Ev,sIb      lock         APX_F o64 ndopt
83 /3    SBB         Ev,sIb      lock         APX_F o64 ndopt
83 /4    AND         Ev,sIb      lock         APX_F o64 ndopt nf
83 /5    SUB         Ev,sIb      lock         APX_F o64 ndopt nf
83 /6    XOR         Ev,sIb      lock         APX_F o64 ndopt nf
83 /7    CMP         Ev,sIb
84       TEST        Eb,Gb
85       TEST        Ev,Gv
86       XCHG        Eb,Gb       lock atomic
87       XCHG        Ev,Gv       lock atomic
88       MOV         Eb,Gb
89       MOV         Ev,Gv
8A       MOV         Gb,Eb
8B       MOV         Gv,Ev
8C       MOV         Rv/Mw,Sw
8D       LEA         Gv,M
8E       MOV         Sw,Rv/Mw
8F /0    POP         Ev          d64
F3 90    PAUSE       -           PAUSE b0 else
90       NOP         -           =v b0
90+r     XCHG        Zv,rAX
98       CBW/CWDE/CDQE  -           =v
99       CWD/CDQ/CQO  -           =v
9A       CALLF       Ap          i64
9B       FWAIT       -           FPU
9C       PUSHF/PUSHFD/PUSHFQ  -           =v d64
9D       POPF/POPFD/POPFQ  -           =v d64
9E       SAHF        -
9F       LAHF        -
A0       MOV         AL,Ob
A1       MOV         rAX,Ov
A2       MOV         Ob,AL
A3       MOV         Ov,rAX
A4       MOVSB       Yb,Xb       rep
A5       MOVSW/MOVSD/MOVSQ  Yv,Xv       rep
A6       CMPSB       Xb,Yb       repe
A7       CMPSW/CMPSD/CMPSQ  Xv,Yv       repe
A8       TEST        AL,Ib
A9       TEST        rAX,Iz
AA       STOSB       Yb,AL       rep
AB       STOSW/STOSD/STOSQ  Yv,rAX      rep
AC       LODSB       AL,Xb       rep
AD       LODSW/LODSD/LODSQ  rAX,Xv      rep
AE       SCASB       AL,Yb       repe
AF       SCASW/SCASD/SCASQ  rAX,Yv      repe
B0+r     MOV         Zb,Ib
B8+r     MOV         Zv,Iv
C0 /0    ROL         Eb,Ib       -            APX_F o64 ndopt nf
C0 /1    ROR         Eb,Ib       -            APX_F o64 ndopt nf
C0 /2    RCL         Eb,Ib       -            APX_F o64 ndopt
C0 /3    RCR         Eb,Ib       -            APX_F o64 ndopt
C0 /4    SHL         Eb,Ib       -            APX_F o64 ndopt nf
C0 /5    SHR         Eb,Ib       -            APX_F o64 ndopt nf
C0 /6    SHL         Eb,Ib       alias
C0 /7    SAR         Eb,Ib       -            APX_F o64 ndopt nf
C1 /0    ROL         Ev,Ib       -            APX_F o64 ndopt nf
C1 /1    ROR         Ev,Ib       -            APX_F o64 ndopt nf
C1 /2    RCL         Ev,Ib       -            APX_F o64 ndopt
C1 /3    RCR         Ev,Ib       -            APX_F o64 ndopt
C1 /4    SHL         Ev,Ib       -            APX_F o64 ndopt nf
C1 /5    SHR         Ev,Ib       -            APX_F o64 ndopt nf
C1 /6    SHL         Ev,Ib       alias
C1 /7    SAR         Ev,Ib       -            APX_F o64 ndopt nf
C2       RET         Iw          =v n64
C3       RET         -           =v n64
C4       LES         Gz,Mp       i64
C5       LDS         Gz,Mp       i64
C6 /0    MOV         Eb,Ib
C6 (F8)  XABORT      Ib          RTM
C7 /0    MOV         Ev,Iz
C7 (F8)  XBEGIN      Jz          RTM
C8       ENTER       Iw,Ib       =v d64
C9       LEAVE       -           =v d64
CA       RETF        Iw          =v
CB       RETF        -           =v
CC       INT3        -
CD       INT         Ib
CE       INTO        -           i64
CF       IRET/IRETD/IRETQ  -           =v
D0 /0    ROL         Eb,1        -            APX_F o64 ndopt nf
D0 /1    ROR         Eb,1        -            APX_F o64 ndopt nf
D0 /2    RCL         Eb,1        -            APX_F o64 ndopt
D0 /3    RCR         Eb,1        -            APX_F o64 ndopt
D0 /4    SHL         Eb,1        -            APX_F o64 ndopt nf
D0 /5    SHR         Eb,1        -            APX_F o64 ndopt nf
D0 /6    SHL         Eb,1        alias
D0 /7    SAR         Eb,1        -            APX_F o64 ndopt nf
D1 /0    ROL         Ev,1        -            APX_F o64 ndopt nf
D1 /1    ROR         Ev,1        -            APX_F o64 ndopt nf
D1 /2    RCL         Ev,1        -            APX_F o64 ndopt
D1 /3    RCR         Ev,1        -            APX_F o64 ndopt
D1 /4    SHL         Ev,1        -            APX_F o64 ndopt nf
D1 /5    SHR         Ev,1        -            APX_F o64 ndopt nf
D1 /6    SHL         Ev,1        alias
D1 /7    SAR         Ev,1        -            APX_F o64 ndopt nf
D2 /0    ROL         Eb,CL       -            APX_F o64 ndopt nf
D2 /1    ROR         Eb,CL       -            APX_F o64 ndopt nf
D2 /2    RCL         Eb,CL       -            APX_F o64 ndopt
D2 /3    RCR         Eb,CL       -            APX_F o64 ndopt
D2 /4    SHL         Eb,CL       -            APX_F o64 ndopt nf
D2 /5    SHR         Eb,CL       -            APX_F o64 ndopt nf
D2 /6    SHL         Eb,CL       alias
D2 /7    SAR         Eb,CL       -            APX_F o64 ndopt nf
D3 /0    ROL         Ev,CL       -            APX_F o64 ndopt nf
D3 /1    ROR         Ev,CL       -            APX_F o64 ndopt nf
D3 /2    RCL         Ev,CL       -            APX_F o64 ndopt
D3 /3    RCR         Ev,CL       -            APX_F o64 ndopt
D3 /4    SHL         Ev,CL       -            APX_F o64 ndopt nf
D3 /5    SHR         Ev,CL       -            APX_F o64 ndopt nf
D3 /6    SHL         Ev,CL       alias
D3 /7    SAR         Ev,CL       -            APX_F o64 ndopt nf
D4       AAM         Ib          i64
D5       AAD         Ib          i64
D6       SALC        -           i64
D7       XLATB       Tb
E0       LOOPNE      Jb          =v n64
E1       LOOPE       Jb          =v n64
E2       LOOP        Jb          =v n64
E3       JCXZ        Jb          =v n64 a16
E3       JECXZ       Jb          =v n64 a32
E3       JRCXZ       Jb          =v n64 a64
E4       IN          AL,Ib       iopl
E5       IN          zAX,Ib      iopl
E6       OUT         Ib,AL       iopl
E7       OUT         Ib,zAX      iopl
E8       CALL        Jz          =v n64
E9       JMP         Jz          =v n64
EA       JMPF        Ap          i64
EB       JMP         Jb          =v n64
EC       IN          AL,DX       iopl
ED       IN          zAX,DX      iopl
EE       OUT         DX,AL       iopl
EF       OUT         DX,zAX      iopl
F1       INT1        -
F4       HLT         -           cpl0
F5       CMC         -
F6 /0    TEST        Eb,Ib
F6 /1    TEST        Eb,Ib       alias
F6 /2    NOT         Eb          lock         APX_F o64 ndopt
F6 /3    NEG         Eb          lock         APX_F o64 ndopt nf
F6 /4    MUL         Eb          -            APX_F o64 nf
F6 /5    IMUL        Eb          -            APX_F o64 nf
F6 /6    DIV         Eb          -            APX_F o64 nf
F6 /7    IDIV        Eb          -            APX_F o64 nf
F7 /0    TEST        Ev,Iz
F7 /1    TEST        Ev,Iz       alias
F7 /2    NOT         Ev          lock         APX_F o64 ndopt
F7 /3    NEG         Ev          lock         APX_F o64 ndopt nf
F7 /4    MUL         Ev          -            APX_F o64 nf
F7 /5    IMUL        Ev          -            APX_F o64 nf
F7 /6    DIV         Ev          -            APX_F o64 nf
F7 /7    IDIV        Ev          -            APX_F o64 nf
F8       CLC         -
F9       STC         -
FA       CLI         -           iopl
FB       STI         -           iopl
FC       CLD         -
FD       STD         -
FE /0    INC         Eb          lock         APX_F o64 ndopt nf
FE /1    DEC         Eb          lock         APX_F o64 ndopt nf
FF /0    INC         Ev          lock         APX_F o64 ndopt nf
FF /1    DEC         Ev          lock         APX_F o64 ndopt nf
FF /2    CALL        Ev          n64
FF /3    CALLF       Mp          far
FF /4    JMP         Ev          n64
FF /5    JMPF        Mp          far
FF /6    PUSH        Ev          d64
`
