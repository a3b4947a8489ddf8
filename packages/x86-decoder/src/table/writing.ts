/**
 * How assemblers write instructions, by mnemonic: words, two or more spaces, mnemonics. Only formatters need it. `name=` is the
 * name, if it is not the mnemonic in lower case.
 */

/**
 * All syntaxes: `far` far branch; `counter` rCX of the address size decides; `hidden` neither operands nor name show the operand
 * size.
 */
export const commonWriting: string = `
far      CALLF JMPF
counter  LOOP LOOPE LOOPNE JCXZ JECXZ JRCXZ
hidden   RET RETF LEAVE ENTER FLDENV FNSTENV FRSTOR FNSAVE
`

/** Intel syntax: `plain` the name implies the size of memory. */
export const intelWriting: string = `
name=(bad)   INVALID
name=call    CALLF
name=jmp     JMPF
name=pushfw  PUSHF
name=popfw   POPF
name=pushaw  PUSHA
name=popaw   POPA
name=iretw   IRET
plain        LEA LGDT LIDT SGDT SIDT BOUND BNDMOV BNDMK CLFLUSH CLFLUSHOPT CLWB LDTILECFG STTILECFG MOVDIR64B ENQCMD ENQCMDS
plain        AESENC256KL AESDEC256KL AESENCWIDE256KL AESDECWIDE256KL
`

/** NASM, beside Intel syntax: `bare` memory has no size, or another one than is true; `o64` a word before the name. */
export const nasmWriting: string = `
name=wait         FWAIT
o64 name=sysret   SYSRETQ
o64 name=sysexit  SYSEXITQ
sized             LDTILECFG STTILECFG
bare              BNDCL BNDCU BNDCN LES LDS LSS LFS LGS INVEPT INVVPID INVPCID VMPTRLD VMPTRST VMCLEAR VMXON
bare              PSHUFW PSHUFD PSHUFLW PSHUFHW PUNPCKLBW PUNPCKLWD PUNPCKLDQ PMULUDQ PSUBQ PALIGNR PBLENDVB CMPSD VCMPSS
`

/**
 * AT&T syntax: `m16`, `m32` in a segment of that size the name has no letter; `l64` a letter in 64-bit mode; `stack` a letter if
 * the size is not the mode's default; `s` the letter of an integer in memory, where no register says the size; `fp` that of an x87
 * number, `int` that of an x87 integer; `env` a letter for the size that is not the usual one; `narrow` that of a vector in memory;
 * `kept` operands in Intel's order; `port` DX is a port; `swap=` the name with a destination other than ST(0), which AT&T's
 * assembler once swapped.
 */
export const attWriting: string = `
name=(bad)      INVALID
name=cbtw       CBW
name=cwtl       CWDE
name=cltq       CDQE
name=cwtd       CWD
name=cltd       CDQ
name=cqto       CQO
name=lcall      CALLF
name=ljmp       JMPF
name=lret       RETF
name=xlat       XLATB
m16 name=pushfw  PUSHF
m16 name=popfw   POPF
m16 name=pushaw  PUSHA
m16 name=popaw   POPA
m16 name=iretw   IRET
m32 name=pushf   PUSHFD
m32 name=popf    POPFD
m32 name=pusha   PUSHAD
m32 name=popa    POPAD
m32 name=iret    IRETD
name=pushf      PUSHFQ
name=popf       POPFQ
name=movsl      MOVSD
name=cmpsl      CMPSD
name=insl       INSD
name=outsl      OUTSD
name=stos       STOSB STOSW STOSD STOSQ
name=lods       LODSB LODSW LODSD LODSQ
name=scas       SCASB SCASW SCASD SCASQ
swap=fsubr      FSUB
swap=fsub       FSUBR
swap=fdivr      FDIV
swap=fdiv       FDIVR
swap=fsubrp     FSUBP
swap=fsubp      FSUBRP
swap=fdivrp     FDIVP
swap=fdivp      FDIVRP
port            IN OUT INSB INSW INSD OUTSB OUTSW OUTSD
kept            ENTER BOUND
l64             SYSEXIT SYSRET
stack           PUSH POP CALL JMP
fp              FADD FMUL FCOM FCOMP FSUB FSUBR FDIV FDIVR FLD FST FSTP
int             FIADD FIMUL FICOM FICOMP FISUB FISUBR FIDIV FIDIVR FILD FIST FISTP FISTTP
env             FLDENV FNSTENV FRSTOR FNSAVE
s               ADD OR ADC SBB AND SUB XOR CMP TEST MOV INC DEC NOT NEG MUL IMUL DIV IDIV ROL ROR RCL RCR SHL SHR SAR
s               BT BTS BTR BTC NOP PTWRITE
s               CVTSI2SS CVTSI2SD VCVTSI2SS VCVTSI2SD VCVTUSI2SS VCVTUSI2SD VCVTSI2SH VCVTUSI2SH
narrow          VCVTPD2PS VCVTPD2DQ VCVTPD2UDQ VCVTTPD2DQ VCVTTPD2UDQ VCVTTPD2DQS VCVTTPD2UDQS VCVTQQ2PS VCVTUQQ2PS
narrow          VCVTNEPS2BF16 VCVTPD2PH VCVTPS2PHX VCVTDQ2PH VCVTUDQ2PH VCVTQQ2PH VCVTUQQ2PH
narrow          VCVTPH2BF8 VCVTPH2BF8S VCVTPH2HF8 VCVTPH2HF8S VFPCLASSPS VFPCLASSPD VFPCLASSPH VFPCLASSBF16
`
