/**
 * Registers and stack slots that instructions use without an operand that says so. String instructions, XLATB, MASKMOV and
 * memory operands are not in it: what they use follows from their operands.
 *
 * A column of uses, and the mnemonics. `MUL.8` is the byte form, `IMUL/1` the form with one operand. A use is an access
 * (`r`, `w`, `rw`, with `c` under a condition), `=`, and registers: `rAX` in the operand size, `aAX` in the address size,
 * others as they are. Of `RCX` outside 64-bit mode there is the low half, of `R11` nothing. `push=2`, `pop=2`: slots of the
 * operand size on the stack.
 *
 * Source: Intel SDM vol. 2, "Operation" of each instruction; AMD APM vol. 3.
 */
export const impliedRows: string = `
r=AL w=AX                     MUL.8 IMUL.8/1
r=rAX w=rAX,rDX               MUL IMUL/1
rw=AX                         DIV.8 IDIV.8
rw=rAX,rDX                    DIV IDIV
r=AL w=AX                     CBW
r=AX w=EAX                    CWDE
r=EAX w=RAX                   CDQE
r=rAX w=rDX                   CWD CDQ CQO
push=1                        PUSHP PUSH PUSHF PUSHFD PUSHFQ CALL
pop=1                         POPP POP POPF POPFD POPFQ RET
push=2                        PUSH2 PUSH2P CALLF
pop=2                         POP2 POP2P RETF
r=rAX,rCX,rDX,rBX,rSP,rBP,rSI,rDI push=8  PUSHA PUSHAD
w=rDI,rSI,rBP,rBX,rDX,rCX,rAX pop=8   POPA POPAD
crw=AL                        CMPXCHG.8
crw=rAX                       CMPXCHG
cr=ECX,EBX crw=EAX,EDX        CMPXCHG8B
cr=RCX,RBX crw=RAX,RDX        CMPXCHG16B
rw=aCX                        LOOP LOOPE LOOPNE
r=aCX                         JCXZ JECXZ JRCXZ
w=AL                          SALC
w=AH                          LAHF
r=AH                          SAHF
rw=AL                         DAA DAS
rw=AX                         AAA AAS AAD
r=AL w=AX                     AAM
r=EAX cr=ECX w=EAX,EBX,ECX,EDX  CPUID
w=EAX,EDX                     RDTSC
w=EAX,ECX,EDX                 RDTSCP
r=ECX w=EAX,EDX               RDMSR RDPMC XGETBV
r=ECX,EAX,EDX                 WRMSR WRMSRNS XSETBV
r=ECX w=EAX,EDX               RDPKRU
r=ECX,EDX,EAX                 WRPKRU
r=aAX,ECX,EDX                 MONITOR MONITORX
r=EAX,ECX                     MWAIT
r=EAX,ECX cr=EBX              MWAITX
r=EAX,EDX                     UMWAIT TPAUSE
w=RCX,R11                     SYSCALL
r=ECX,R11D w=CS,SS            SYSRET
r=RCX,R11D w=CS,SS            SYSRETQ
w=RSP                         SYSENTER
r=ECX,EDX w=RSP,CS,SS         SYSEXIT
r=RCX,RDX w=RSP,CS,SS         SYSEXITQ
r=EAX                         GETSEC
rw=CR0                        CLTS LMSW
r=CR0                         SMSW
r=aAX                         VMRUN CLZERO
r=aAX w=FS,GS                 VMLOAD
r=aAX,FS,GS                   VMSAVE
r=aAX,ECX                     INVLPGA
r=EAX                         SKINIT
r=EAX,EDX                     XSAVE XSAVE64 XSAVEOPT XSAVEOPT64 XSAVEC XSAVEC64 XSAVES XSAVES64
r=EAX,EDX                     XRSTOR XRSTOR64 XRSTORS XRSTORS64
w=ECX                         PCMPESTRI VPCMPESTRI
w=XMM0                        PCMPESTRM
w=ZMM0                        VPCMPESTRM
w=ECX                         PCMPISTRI VPCMPISTRI
w=XMM0                        PCMPISTRM
w=ZMM0                        VPCMPISTRM
r=rDX                         MULX
r=EAX,ECX                     VMFUNC
w=ES                          LES
w=DS                          LDS
w=SS                          LSS
w=FS                          LFS
w=GS                          LGS
w=GS                          LKGS
crw=EAX,EBX,ECX,EDX           ENCLS ENCLU ENCLV
rw=EAX crw=EBX,ECX,EDX        PCONFIG
crw=RCX cr=RSI,RDI            RDMSRLIST WRMSRLIST
r=RBX,RCX w=RAX               PBNDKB
r=RAX                         SEAMCALL
rw=RAX cr=RCX,RDX,R8,R9       SEAMOPS
r=ECX w=EAX,EDX               RDPRU
r=aAX,ECX,EDX                 INVLPGB
r=aAX,ECX,EDX w=EAX           PVALIDATE
rw=RAX                        PSMASH
rw=RAX r=RCX                  RMPUPDATE
rw=RAX r=RCX,RDX              RMPADJUST
rw=RAX r=DL w=RCX,RDX         RMPQUERY
cw=EAX                        XBEGIN
rw=AL                         XLATB
r=EAX,XMM0                    LOADIWKEY
rw=XMM0 w=XMM1,XMM2,XMM4,XMM5,XMM6  ENCODEKEY128
rw=XMM0,XMM1 w=XMM2,XMM3,XMM4,XMM5,XMM6  ENCODEKEY256
rw=XMM0,XMM1,XMM2,XMM3,XMM4,XMM5,XMM6,XMM7  AESENCWIDE128KL AESDECWIDE128KL AESENCWIDE256KL AESDECWIDE256KL
w=TMM0,TMM1,TMM2,TMM3,TMM4,TMM5,TMM6,TMM7  LDTILECFG TILERELEASE
rw=ST0                        FADD/1 FMUL/1 FSUB/1 FSUBR/1 FDIV/1 FDIVR/1 FIADD FIMUL FISUB FISUBR FIDIV FIDIVR
rw=ST0                        FABS FCHS FSQRT FRNDINT F2XM1 FXCH
crw=ST0                       FPTAN FSINCOS FSIN FCOS
r=ST0                         FCOM/1 FCOMP/1 FICOM FICOMP FST FSTP FIST FISTP FISTTP FBSTP FSTPNCE FUCOM FUCOMP FTST FXAM
r=ST0,ST1                     FCOMPP FUCOMPP
r=ST0 rw=ST1                  FYL2X FYL2XP1 FPATAN
rw=ST0 r=ST1                  FSCALE FPREM FPREM1
rw=ST0                        FXTRACT
`
