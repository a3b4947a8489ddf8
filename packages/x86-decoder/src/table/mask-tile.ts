/**
 * VEX-encoded instructions on the mask registers of AVX-512 and on the tile registers of AMX.
 *
 * Source: Intel SDM vol. 2A and 2B, the pages of the K instructions, LDTILECFG, STTILECFG, TILE… and TDP…; vol. 1, "Programming
 * with Intel AMX".
 */
export const maskTileRows: string = `
VEX.NP 0F 41        KANDW          kGw,kBw,kRw   AVX512F w0 l1
VEX.66 0F 41        KANDB          kGb,kBb,kRb   AVX512DQ w0 l1
VEX.NP 0F 41        KANDQ          kGq,kBq,kRq   AVX512BW w1 l1
VEX.66 0F 41        KANDD          kGd,kBd,kRd   AVX512BW w1 l1
VEX.NP 0F 42        KANDNW         kGw,kBw,kRw   AVX512F w0 l1
VEX.66 0F 42        KANDNB         kGb,kBb,kRb   AVX512DQ w0 l1
VEX.NP 0F 42        KANDNQ         kGq,kBq,kRq   AVX512BW w1 l1
VEX.66 0F 42        KANDND         kGd,kBd,kRd   AVX512BW w1 l1
VEX.NP 0F 44        KNOTW          kGw,kRw       AVX512F w0 l0
VEX.66 0F 44        KNOTB          kGb,kRb       AVX512DQ w0 l0
VEX.NP 0F 44        KNOTQ          kGq,kRq       AVX512BW w1 l0
VEX.66 0F 44        KNOTD          kGd,kRd       AVX512BW w1 l0
VEX.NP 0F 45        KORW           kGw,kBw,kRw   AVX512F w0 l1
VEX.66 0F 45        KORB           kGb,kBb,kRb   AVX512DQ w0 l1
VEX.NP 0F 45        KORQ           kGq,kBq,kRq   AVX512BW w1 l1
VEX.66 0F 45        KORD           kGd,kBd,kRd   AVX512BW w1 l1
VEX.NP 0F 46        KXNORW         kGw,kBw,kRw   AVX512F w0 l1
VEX.66 0F 46        KXNORB         kGb,kBb,kRb   AVX512DQ w0 l1
VEX.NP 0F 46        KXNORQ         kGq,kBq,kRq   AVX512BW w1 l1
VEX.66 0F 46        KXNORD         kGd,kBd,kRd   AVX512BW w1 l1
VEX.NP 0F 47        KXORW          kGw,kBw,kRw   AVX512F w0 l1
VEX.66 0F 47        KXORB          kGb,kBb,kRb   AVX512DQ w0 l1
VEX.NP 0F 47        KXORQ          kGq,kBq,kRq   AVX512BW w1 l1
VEX.66 0F 47        KXORD          kGd,kBd,kRd   AVX512BW w1 l1
VEX.NP 0F 4A        KADDW          kGw,kBw,kRw   AVX512DQ w0 l1
VEX.66 0F 4A        KADDB          kGb,kBb,kRb   AVX512DQ w0 l1
VEX.NP 0F 4A        KADDQ          kGq,kBq,kRq   AVX512BW w1 l1
VEX.66 0F 4A        KADDD          kGd,kBd,kRd   AVX512BW w1 l1
VEX.66 0F 4B        KUNPCKBW       kGw,kBw,kRw   AVX512F w0 l1
VEX.NP 0F 4B        KUNPCKWD       kGd,kBd,kRd   AVX512BW w0 l1
VEX.NP 0F 4B        KUNPCKDQ       kGq,kBq,kRq   AVX512BW w1 l1
VEX.NP 0F 90        KMOVW          kGw,kEw       AVX512F w0 l0           APX_F+AVX512F o64 w0
VEX.66 0F 90        KMOVB          kGb,kEb       AVX512DQ w0 l0          APX_F+AVX512DQ o64 w0
VEX.NP 0F 90        KMOVQ          kGq,kEq       AVX512BW w1 l0          APX_F+AVX512BW o64 w1
VEX.66 0F 90        KMOVD          kGd,kEd       AVX512BW w1 l0          APX_F+AVX512BW o64 w1
VEX.NP 0F 91        KMOVW          Mw,kGw        AVX512F w0 l0           APX_F+AVX512F o64 w0
VEX.66 0F 91        KMOVB          Mb,kGb        AVX512DQ w0 l0          APX_F+AVX512DQ o64 w0
VEX.NP 0F 91        KMOVQ          Mq,kGq        AVX512BW w1 l0          APX_F+AVX512BW o64 w1
VEX.66 0F 91        KMOVD          Md,kGd        AVX512BW w1 l0          APX_F+AVX512BW o64 w1
VEX.NP 0F 92        KMOVW          kGw,Rd        AVX512F w0 l0           APX_F+AVX512F o64 w0
VEX.66 0F 92        KMOVB          kGb,Rd        AVX512DQ w0 l0          APX_F+AVX512DQ o64 w0
VEX.F2 0F 92        KMOVD/KMOVQ    kGy,Ry        AVX512BW l0             APX_F+AVX512BW o64
VEX.NP 0F 93        KMOVW          Gd,kRw        AVX512F w0 l0           APX_F+AVX512F o64 w0
VEX.66 0F 93        KMOVB          Gd,kRb        AVX512DQ w0 l0          APX_F+AVX512DQ o64 w0
VEX.F2 0F 93        KMOVD/KMOVQ    Gy,kRy        AVX512BW l0             APX_F+AVX512BW o64
VEX.NP 0F 98        KORTESTW       kGw,kRw       AVX512F w0 l0
VEX.66 0F 98        KORTESTB       kGb,kRb       AVX512DQ w0 l0
VEX.NP 0F 98        KORTESTQ       kGq,kRq       AVX512BW w1 l0
VEX.66 0F 98        KORTESTD       kGd,kRd       AVX512BW w1 l0
VEX.NP 0F 99        KTESTW         kGw,kRw       AVX512DQ w0 l0
VEX.66 0F 99        KTESTB         kGb,kRb       AVX512DQ w0 l0
VEX.NP 0F 99        KTESTQ         kGq,kRq       AVX512BW w1 l0
VEX.66 0F 99        KTESTD         kGd,kRd       AVX512BW w1 l0
VEX.66 0F 3A 30     KSHIFTRB       kGb,kRb,Ib    AVX512DQ w0 l0
VEX.66 0F 3A 30     KSHIFTRW       kGw,kRw,Ib    AVX512F w1 l0
VEX.66 0F 3A 31     KSHIFTRD       kGd,kRd,Ib    AVX512BW w0 l0
VEX.66 0F 3A 31     KSHIFTRQ       kGq,kRq,Ib    AVX512BW w1 l0
VEX.66 0F 3A 32     KSHIFTLB       kGb,kRb,Ib    AVX512DQ w0 l0
VEX.66 0F 3A 32     KSHIFTLW       kGw,kRw,Ib    AVX512F w1 l0
VEX.66 0F 3A 33     KSHIFTLD       kGd,kRd,Ib    AVX512BW w0 l0
VEX.66 0F 3A 33     KSHIFTLQ       kGq,kRq,Ib    AVX512BW w1 l0
VEX.NP 0F 38 49 /0  LDTILECFG      Moq           AMX_TILE w0 l0 o64      APX_F+AMX_TILE w0 o64
VEX.66 0F 38 49 /0  STTILECFG      Moq           AMX_TILE w0 l0 o64      APX_F+AMX_TILE w0 o64
VEX.NP 0F 38 49 (C0)  TILERELEASE    -             AMX_TILE w0 l0 o64
VEX.F2 0F 38 49     TILEZERO       tG            AMX_TILE w0 l0 o64 reg rm0
VEX.F2 0F 38 4B     TILELOADD      tG,M          AMX_TILE w0 l0 o64 sib  APX_F+AMX_TILE w0 o64 sib
VEX.66 0F 38 4B     TILELOADDT1    tG,M          AMX_TILE w0 l0 o64 sib  APX_F+AMX_TILE w0 o64 sib
VEX.F3 0F 38 4B     TILESTORED     M,tG          AMX_TILE w0 l0 o64 sib  APX_F+AMX_TILE w0 o64 sib
VEX.F3 0F 38 5C     TDPBF16PS      tG,tR,tB      AMX_BF16 w0 l0 o64
VEX.F2 0F 38 5C     TDPFP16PS      tG,tR,tB      AMX_FP16 w0 l0 o64
VEX.NP 0F 38 5E     TDPBUUD        tG,tR,tB      AMX_INT8 w0 l0 o64
VEX.66 0F 38 5E     TDPBUSD        tG,tR,tB      AMX_INT8 w0 l0 o64
VEX.F3 0F 38 5E     TDPBSUD        tG,tR,tB      AMX_INT8 w0 l0 o64
VEX.F2 0F 38 5E     TDPBSSD        tG,tR,tB      AMX_INT8 w0 l0 o64
VEX.66 0F 38 6C     TCMMIMFP16PS   tG,tR,tB      AMX_COMPLEX w0 l0 o64
VEX.NP 0F 38 6C     TCMMRLFP16PS   tG,tR,tB      AMX_COMPLEX w0 l0 o64
VEX.F2 0F 38 4A     TILELOADDRS    tG,M          AMX_MOVRS w0 l0 o64 sib  APX_F+AMX_MOVRS w0 o64 sib
VEX.66 0F 38 4A     TILELOADDRST1  tG,M          AMX_MOVRS w0 l0 o64 sib  APX_F+AMX_MOVRS w0 o64 sib
VEX.66 0F 38 48     TMMULTF32PS    tG,tR,tB      AMX_TF32 w0 l0 o64
VEX.NP M5 FD        TDPBF8PS       tG,tR,tB      AMX_FP8 w0 l0 o64
VEX.F2 M5 FD        TDPBHF8PS      tG,tR,tB      AMX_FP8 w0 l0 o64
VEX.F3 M5 FD        TDPHBF8PS      tG,tR,tB      AMX_FP8 w0 l0 o64
VEX.66 M5 FD        TDPHF8PS       tG,tR,tB      AMX_FP8 w0 l0 o64
`
