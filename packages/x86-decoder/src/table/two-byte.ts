/**
 * The two-byte opcode map (0F xx), without MMX and SSE, which `vector.ts` holds.
 *
 * Source: Intel SDM vol. 2D, Appendix A, "Two-byte Opcode Map", "Opcode Extensions for One-Byte and Two-byte Opcodes";
 * AMD APM vol. 3, "Opcode and Operand Encodings", for SVM, MONITORX, CLZERO, RDPRU, PREFETCH.
 */
export const twoByteRows: string = `
0F 00 /0       SLDT        Rv/Mw       protected
0F 00 /1       STR         Rv/Mw       protected
0F 00 /2       LLDT        Ew          protected cpl0
0F 00 /3       LTR         Ew          protected cpl0
0F 00 /4       VERR        Ew          protected
0F 00 /5       VERW        Ew          protected
F2 0F 00 /6    LKGS        Ew          LKGS o64 cpl0
0F 01 /0       SGDT        Ms          =v f64
0F 01 /1       SIDT        Ms          =v f64
0F 01 /2       LGDT        Ms          =v f64 cpl0
0F 01 /3       LIDT        Ms          =v f64 cpl0
0F 01 /4       SMSW        Rv/Mw
F3 0F 01 /5    RSTORSSP    Mq          CET_SS protected
0F 01 /6       LMSW        Ew          cpl0
0F 01 /7       INVLPG      M           cpl0
NP 0F 01 (C0)  ENCLV       -           SGX cpl0 protected
NP 0F 01 (C1)  VMCALL      -           VMX
NP 0F 01 (C2)  VMLAUNCH    -           VMX cpl0 protected
NP 0F 01 (C3)  VMRESUME    -           VMX cpl0 protected
NP 0F 01 (C4)  VMXOFF      -           VMX cpl0 protected
NP 0F 01 (C5)  PCONFIG     -           PCONFIG cpl0
NP 0F 01 (C6)  WRMSRNS     -           WRMSRNS cpl0
F2 0F 01 (C6)  RDMSRLIST   -           MSRLIST o64 cpl0
F3 0F 01 (C6)  WRMSRLIST   -           MSRLIST o64 cpl0
NP 0F 01 (C7)  PBNDKB      -           TSE o64 cpl0
NP 0F 01 (C8)  MONITOR     -           MONITOR cpl0
NP 0F 01 (C9)  MWAIT       -           MONITOR cpl0
NP 0F 01 (CA)  CLAC        -           SMAP cpl0
NP 0F 01 (CB)  STAC        -           SMAP cpl0
F2 0F 01 (CA)  ERETS       -           FRED o64 cpl0
F3 0F 01 (CA)  ERETU       -           FRED o64 cpl0
66 0F 01 (CC)  TDCALL      -           TDX cpl0
66 0F 01 (CD)  SEAMRET     -           TDX o64 cpl0
66 0F 01 (CE)  SEAMOPS     -           TDX o64 cpl0
66 0F 01 (CF)  SEAMCALL    -           TDX o64 cpl0
NP 0F 01 (CF)  ENCLS       -           SGX cpl0 protected
NP 0F 01 (D0)  XGETBV      -           XSAVE
NP 0F 01 (D1)  XSETBV      -           XSAVE cpl0
NP 0F 01 (D4)  VMFUNC      -           VMX
NP 0F 01 (D5)  XEND        -           RTM
NP 0F 01 (D6)  XTEST       -           RTM
NP 0F 01 (D7)  ENCLU       -           SGX protected
0F 01 (D8)     VMRUN       -           SVM cpl0 protected
F3 0F 01 (D9)  VMGEXIT     -           SEV_ES
F2 0F 01 (D9)  VMGEXIT     -           SEV_ES alias
0F 01 (D9)     VMMCALL     -           SVM
0F 01 (DA)     VMLOAD      -           SVM cpl0 protected
0F 01 (DB)     VMSAVE      -           SVM cpl0 protected
0F 01 (DC)     STGI        -           SVM cpl0 protected
0F 01 (DD)     CLGI        -           SVM cpl0 protected
0F 01 (DE)     SKINIT      -           SVM cpl0 protected
0F 01 (DF)     INVLPGA     -           SVM cpl0 protected
NP 0F 01 (E8)  SERIALIZE   -           SERIALIZE
F2 0F 01 (E8)  XSUSLDTRK   -           TSXLDTRK
F3 0F 01 (E8)  SETSSBSY    -           CET_SS cpl0 protected
F2 0F 01 (E9)  XRESLDTRK   -           TSXLDTRK
F3 0F 01 (EA)  SAVEPREVSSP  -           CET_SS protected
F3 0F 01 (EC)  UIRET       -           UINTR o64
F3 0F 01 (ED)  TESTUI      -           UINTR o64
NP 0F 01 (EE)  RDPKRU      -           PKU
F3 0F 01 (EE)  CLUI        -           UINTR o64
NP 0F 01 (EF)  WRPKRU      -           PKU
F3 0F 01 (EF)  STUI        -           UINTR o64
0F 01 (F8)     SWAPGS      -           o64 cpl0
0F 01 (F9)     RDTSCP      -           RDTSCP
NP 0F 01 (FA)  MONITORX    -           MONITORX
F3 0F 01 (FA)  MCOMMIT     -           MCOMMIT
NP 0F 01 (FB)  MWAITX      -           MONITORX
0F 01 (FC)     CLZERO      -           CLZERO
NP 0F 01 (FD)  RDPRU       -           RDPRU
F3 0F 01 (FD)  RMPQUERY    -           RMPQUERY o64 cpl0
NP 0F 01 (FE)  INVLPGB     -           INVLPGB cpl0 protected
F3 0F 01 (FE)  RMPADJUST   -           SEV_SNP o64 cpl0
F2 0F 01 (FE)  RMPUPDATE   -           SEV_SNP o64 cpl0
NP 0F 01 (FF)  TLBSYNC     -           INVLPGB cpl0 protected
F3 0F 01 (FF)  PSMASH      -           SEV_SNP o64 cpl0
F2 0F 01 (FF)  PVALIDATE   -           SEV_SNP cpl0
0F 02          LAR         Gv,Rv/Mw    protected
0F 03          LSL         Gv,Rv/Mw    protected
0F 05          SYSCALL     -           SYSCALL
0F 06          CLTS        -           cpl0
0F 07          SYSRET/SYSRETQ  -           =y SYSCALL cpl0
0F 08          INVD        -           cpl0
F3 0F 09       WBNOINVD    -           WBNOINVD cpl0 else
0F 09          WBINVD      -           cpl0
0F 0B          UD2         -
0F 0D /0       PREFETCH    M           PREFETCHW else
0F 0D /1       PREFETCHW   M           PREFETCHW else
0F 0D /2       PREFETCHWT1  M           PREFETCHWT1 else
0F 0D /3       PREFETCHW   M           PREFETCHW else alias
0F 0D /4       PREFETCH    M           PREFETCHW else alias
0F 0D /5       PREFETCH    M           PREFETCHW else alias
0F 0D /6       PREFETCH    M           PREFETCHW else alias
0F 0D /7       PREFETCH    M           PREFETCHW else alias
0F 0D          NOP         Ev,Gv       alias
0F 0E          FEMMS       -           3DNOW
0F 18 /0       PREFETCHNTA  M           SSE
0F 18 /1       PREFETCHT0  M           SSE
0F 18 /2       PREFETCHT1  M           SSE
0F 18 /3       PREFETCHT2  M           SSE
0F 18 /4       PREFETCHRST2  M           MOVRS else
0F 18 /6       PREFETCHIT1  M           PREFETCHI else
0F 18 /7       PREFETCHIT0  M           PREFETCHI else
0F 18          NOP         Ev,Gv       alias
0F 19          NOP         Ev,Gv       alias
F3 0F 1A       BNDCL       bG,Ey       MPX f64 bounds else
F2 0F 1A       BNDCU       bG,Ey       MPX f64 bounds else
66 0F 1A       BNDMOV      bG,bEyy     MPX f64 bounds else
NP 0F 1A       BNDLDX      bG,M        MPX =y f64 bounds norip else
0F 1A          NOP         Ev,Gv       alias
F3 0F 1B       BNDMK       bG,My       MPX f64 bounds norip else
F2 0F 1B       BNDCN       bG,Ey       MPX f64 bounds else
66 0F 1B       BNDMOV      bEyy,bG     MPX f64 bounds else
NP 0F 1B       BNDSTX      M,bG        MPX =y f64 bounds norip else
0F 1B          NOP         Ev,Gv       alias
NP 0F 1C /0    CLDEMOTE    M           CLDEMOTE else
0F 1C          NOP         Ev,Gv       alias
0F 1D          NOP         Ev,Gv       alias
F3 0F 1E (FA)  ENDBR64     -           CET_IBT else
F3 0F 1E (FB)  ENDBR32     -           CET_IBT else
F3 0F 1E /1    RDSSPD/RDSSPQ  Ry          CET_SS else
0F 1E          NOP         Ev,Gv       alias
0F 1F /0       NOP         Ev
0F 1F          NOP         Ev,Gv       alias
0F 20          MOV         Ry,Cy       f64 anymod cpl0
0F 21          MOV         Ry,Dy       f64 anymod cpl0
0F 22          MOV         Cy,Ry       f64 anymod cpl0
0F 23          MOV         Dy,Ry       f64 anymod cpl0
0F 30          WRMSR       -           MSR cpl0
0F 31          RDTSC       -           TSC
0F 32          RDMSR       -           MSR cpl0
0F 33          RDPMC       -
0F 34          SYSENTER    -           SEP
0F 35          SYSEXIT/SYSEXITQ  -           =y SEP cpl0
NP 0F 37       GETSEC      -           SMX
0F 40+cc        CMOVcc      Gv,Ev       CMOV
NP 0F 78       VMREAD      Ey,Gy       f64 VMX cpl0 protected
NP 0F 79       VMWRITE     Gy,Ey       f64 VMX cpl0 protected
0F 80+cc        Jcc         Jz          =v n64
0F 90+cc        SETcc       Eb
0F A0          PUSH        FS          =v d64
0F A1          POP         FS          =v d64
0F A2          CPUID       -
0F A3          BT          Ev,Gv
0F A4          SHLD        Ev,Gv,Ib
0F A5          SHLD        Ev,Gv,CL
F3 0F A6 (C0)  MONTMUL     -           PADLOCK_PMM
F3 0F A6 (C8)  XSHA1       -           PADLOCK_PHE
F3 0F A6 (D0)  XSHA256     -           PADLOCK_PHE
F3 0F A6 (E8)  CCS_HASH    -           PADLOCK_GMI
0F A7 (C0)     XSTORE      -           PADLOCK_RNG
F3 0F A7 (C8)  XCRYPTECB   -           PADLOCK_ACE
F3 0F A7 (D0)  XCRYPTCBC   -           PADLOCK_ACE
F3 0F A7 (D8)  XCRYPTCTR   -           PADLOCK_ACE
F3 0F A7 (E0)  XCRYPTCFB   -           PADLOCK_ACE
F3 0F A7 (E8)  XCRYPTOFB   -           PADLOCK_ACE
F3 0F A7 (F0)  CCS_ENCRYPT  -           PADLOCK_GMI
0F A8          PUSH        GS          =v d64
0F A9          POP         GS          =v d64
0F AA          RSM         -
0F AB          BTS         Ev,Gv       lock
0F AC          SHRD        Ev,Gv,Ib
0F AD          SHRD        Ev,Gv,CL
NP 0F AE /0    FXSAVE/FXSAVE64  Mfx         =y FXSR
F3 0F AE /0    RDFSBASE    Ry          FSGSBASE o64
NP 0F AE /1    FXRSTOR/FXRSTOR64  Mfx         =y FXSR
F3 0F AE /1    RDGSBASE    Ry          FSGSBASE o64
NP 0F AE /2    LDMXCSR     Md          SSE
F3 0F AE /2    WRFSBASE    Ry          FSGSBASE o64
NP 0F AE /3    STMXCSR     Md          SSE
F3 0F AE /3    WRGSBASE    Ry          FSGSBASE o64
NP 0F AE /4    XSAVE/XSAVE64  M           =y XSAVE norex2
F3 0F AE /4    PTWRITE     Ey          PTWRITE no66
NP 0F AE /5    XRSTOR/XRSTOR64  M           =y XSAVE norex2
NP 0F AE /5    LFENCE      -           SSE2 reg
F3 0F AE /5    INCSSPD/INCSSPQ  Ry          CET_SS protected
NP 0F AE /6    XSAVEOPT/XSAVEOPT64  M           =y XSAVEOPT norex2
NP 0F AE /6    MFENCE      -           SSE2 reg
66 0F AE /6    CLWB        Mb          CLWB
66 0F AE /6    TPAUSE      Rd          WAITPKG
F3 0F AE /6    CLRSSBSY    Mq          CET_SS cpl0 protected
F3 0F AE /6    UMONITOR    Ras         WAITPKG
F2 0F AE /6    UMWAIT      Rd          WAITPKG
NP 0F AE /7    CLFLUSH     Mb          CLFSH
NP 0F AE /7    SFENCE      -           SSE reg
66 0F AE /7    CLFLUSHOPT  Mb          CLFLUSHOPT
0F AF          IMUL        Gv,Ev
0F B0          CMPXCHG     Eb,Gb       lock
0F B1          CMPXCHG     Ev,Gv       lock
0F B2          LSS         Gv,Mp       far
0F B3          BTR         Ev,Gv       lock
0F B4          LFS         Gv,Mp       far
0F B5          LGS         Gv,Mp       far
0F B6          MOVZX       Gv,Eb
0F B7          MOVZX       Gv,Ew
F3 0F B8       POPCNT      Gv,Ev       POPCNT
0F B9          UD1         Gv,Ev
0F BA /4       BT          Ev,Ib
0F BA /5       BTS         Ev,Ib       lock
0F BA /6       BTR         Ev,Ib       lock
0F BA /7       BTC         Ev,Ib       lock
0F BB          BTC         Ev,Gv       lock
F3 0F BC       TZCNT       Gv,Ev       BMI1 else
0F BC          BSF         Gv,Ev
F3 0F BD       LZCNT       Gv,Ev       LZCNT else
0F BD          BSR         Gv,Ev
0F BE          MOVSX       Gv,Eb
0F BF          MOVSX       Gv,Ew
0F C0          XADD        Eb,Gb       lock
0F C1          XADD        Ev,Gv       lock
NP 0F C3       MOVNTI      My,Gy       SSE2
0F C7 /1       CMPXCHG8B/CMPXCHG16B  Myy         lock CX8/CX16
NP 0F C7 /3    XRSTORS/XRSTORS64  M           =y XSAVES cpl0 norex2
NP 0F C7 /4    XSAVEC/XSAVEC64  M           =y XSAVEC norex2
NP 0F C7 /5    XSAVES/XSAVES64  M           =y XSAVES cpl0 norex2
NP 0F C7 /6    VMPTRLD     Mq          VMX cpl0 protected
66 0F C7 /6    VMCLEAR     Mq          VMX cpl0 protected
F3 0F C7 /6    VMXON       Mq          VMX cpl0 protected
F3 0F C7 /6    SENDUIPI    Rq          UINTR o64
NFx 0F C7 /6   RDRAND      Rv          RDRAND
NP 0F C7 /7    VMPTRST     Mq          VMX cpl0 protected
F3 0F C7 /7    RDPID       Ry          f64 RDPID
NFx 0F C7 /7   RDSEED      Rv          RDSEED
0F C8+r        BSWAP       Zv
0F FF          UD0         Gv,Ev
NFx 0F 38 8A   MOVRS       Gb,Mb       MOVRS o64
NFx 0F 38 8B   MOVRS       Gv,Mv       MOVRS o64
NFx 0F 38 F0   MOVBE       Gv,Mv       MOVBE
F2 0F 38 F0    CRC32       Gy,Eb       SSE4_2
NFx 0F 38 F1   MOVBE       Mv,Gv       MOVBE
F2 0F 38 F1    CRC32       Gy,Ev       SSE4_2
66 0F 38 80    INVEPT      Gy,Mdq      f64 VMX cpl0 protected
66 0F 38 81    INVVPID     Gy,Mdq      f64 VMX cpl0 protected
66 0F 38 82    INVPCID     Gy,Mdq      f64 INVPCID cpl0
66 0F 38 F5    WRUSSD/WRUSSQ  My,Gy       CET_SS cpl0 protected
NP 0F 38 F6    WRSSD/WRSSQ  My,Gy       CET_SS protected
66 0F 38 F6    ADCX        Gy,Ey       ADX
F3 0F 38 F6    ADOX        Gy,Ey       ADX
66 0F 38 F8    MOVDIR64B   Gas,Moq     MOVDIR64B
F2 0F 38 F8    ENQCMD      Gas,Moq     ENQCMD
F3 0F 38 F8    ENQCMDS     Gas,Moq     ENQCMD cpl0
F2 0F 38 F8    URDMSR      Gq,Rq       USER_MSR o64
F3 0F 38 F8    UWRMSR      Gq,Rq       USER_MSR o64
NP 0F 38 F9    MOVDIRI     My,Gy       MOVDIRI
NP 0F 38 FC    AADD        My,Gy       RAO_INT atomic
66 0F 38 FC    AAND        My,Gy       RAO_INT atomic
F2 0F 38 FC    AOR         My,Gy       RAO_INT atomic
F3 0F 38 FC    AXOR        My,Gy       RAO_INT atomic
`
