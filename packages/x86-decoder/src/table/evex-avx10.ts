/**
 * EVEX instructions that came with AVX10.2 and with the processors that have it: conversions with saturation and of FP8, BF16
 * arithmetic, minima and maxima, comparisons, MOVRS, rows of AMX tiles.
 *
 * Source: Intel "Advanced Vector Extensions 10.2 Architecture Specification"; "Intel Architecture Instruction Set Extensions
 * Programming Reference" for MOVRS and AMX-AVX512.
 */
export const evexAvx10Rows: string = `
EVEX.F3 0F 2E       VUCOMXSS            Vdq,Wd            AVX10_2 E3NF w0 sae
EVEX.F2 0F 2E       VUCOMXSD            Vdq,Wq            AVX10_2 E3NF w1 sae
EVEX.F3 0F 2F       VCOMXSS             Vdq,Wd            AVX10_2 E3NF w0 sae
EVEX.F2 0F 2F       VCOMXSD             Vdq,Wq            AVX10_2 E3NF w1 sae
EVEX.F3 0F 7E       VMOVD               Vdq,Wd            AVX10_2 E9NF w0 l0
EVEX.66 0F D6       VMOVD               Wd,Vdq            AVX10_2 E9NF w0 l0
EVEX.F3 0F 38 4A    TCVTROWD2PS         Voq,tR,Bd         AMX_AVX512 w0 l2 o64 reg
EVEX.66 0F 38 4A    TILEMOVROW          Voq,tR,Bd         AMX_AVX512 w0 l2 o64 reg
EVEX.NP 0F 38 52    VDPPHPS             Vx,Hx,Wx          AVX10_2 E4 w0 kz bd
EVEX.66 0F 38 67    VCVT2PS2PHX         Vx,Hx,Wx          AVX10_2 E2 w0 kz e2 bd er
EVEX.NP 0F 38 6D    TCVTROWPS2PHH       Voq,tR,Bd         AMX_AVX512 w0 l2 o64 reg
EVEX.66 0F 38 6D    TCVTROWPS2PHL       Voq,tR,Bd         AMX_AVX512 w0 l2 o64 reg
EVEX.F3 0F 38 6D    TCVTROWPS2BF16L     Voq,tR,Bd         AMX_AVX512 w0 l2 o64 reg
EVEX.F2 0F 38 6D    TCVTROWPS2BF16H     Voq,tR,Bd         AMX_AVX512 w0 l2 o64 reg
EVEX.NP 0F 38 74    VCVTBIASPH2BF8      Vhx,Hx,Wx         AVX10_2 E4NF w0 kz e1 bw
EVEX.F3 0F 38 74    VCVTPH2BF8          Vhx,Wx            AVX10_2 E4NF w0 kz e1 bw
EVEX.F2 0F 38 74    VCVT2PH2BF8         Vx,Hx,Wx          AVX10_2 E4NF w0 kz e1 bw
EVEX.NP 0F 3A 07    TCVTROWPS2PHH       Voq,tR,Ib         AMX_AVX512 w0 l2 o64 reg
EVEX.66 0F 3A 07    TILEMOVROW          Voq,tR,Ib         AMX_AVX512 w0 l2 o64 reg
EVEX.F3 0F 3A 07    TCVTROWD2PS         Voq,tR,Ib         AMX_AVX512 w0 l2 o64 reg
EVEX.F2 0F 3A 07    TCVTROWPS2BF16H     Voq,tR,Ib         AMX_AVX512 w0 l2 o64 reg
EVEX.F2 0F 3A 08    VRNDSCALEBF16       Vx,Wx,Ib          AVX10_2 E4 w0 kz bw
EVEX.F2 0F 3A 26    VGETMANTBF16        Vx,Wx,Ib          AVX10_2 E4 w0 kz bw
EVEX.F3 0F 3A 42    VMPSADBW            Vx,Hx,Wx,Ib       AVX10_2 E4NF w0 kz e2
EVEX.NP 0F 3A 52    VMINMAXPH           Vx,Hx,Wx,Ib       AVX10_2 E2 w0 kz bw sae
EVEX.66 0F 3A 52    VMINMAXPS           Vx,Hx,Wx,Ib       AVX10_2 E2 w0 kz bd sae
EVEX.66 0F 3A 52    VMINMAXPD           Vx,Hx,Wx,Ib       AVX10_2 E2 w1 kz bq sae
EVEX.F2 0F 3A 52    VMINMAXBF16         Vx,Hx,Wx,Ib       AVX10_2 E4 w0 kz bw
EVEX.NP 0F 3A 53    VMINMAXSH           Vdq,Hdq,Ww,Ib     AVX10_2 E3 w0 kz e2 sae
EVEX.66 0F 3A 53    VMINMAXSS           Vdq,Hdq,Wd,Ib     AVX10_2 E3 w0 kz e4 sae
EVEX.66 0F 3A 53    VMINMAXSD           Vdq,Hdq,Wq,Ib     AVX10_2 E3 w1 kz e8 sae
EVEX.F2 0F 3A 56    VREDUCEBF16         Vx,Wx,Ib          AVX10_2 E4 w0 kz bw
EVEX.F2 0F 3A 66    VFPCLASSBF16        kG,Wx,Ib          AVX10_2 E4 w0 k bw
EVEX.F2 0F 3A 77    TCVTROWPS2PHL       Voq,tR,Ib         AMX_AVX512 w0 l2 o64 reg
EVEX.F3 0F 3A 77    TCVTROWPS2BF16L     Voq,tR,Ib         AMX_AVX512 w0 l2 o64 reg
EVEX.F2 0F 3A C2    VCMPBF16            kG,Hx,Wx,Ib       AVX10_2 E4 w0 k bw
EVEX.NP M5 18       VCVTBIASPH2HF8      Vhx,Hx,Wx         AVX10_2 E4NF w0 kz e1 bw
EVEX.F3 M5 18       VCVTPH2HF8          Vhx,Wx            AVX10_2 E4NF w0 kz e1 bw
EVEX.F2 M5 18       VCVT2PH2HF8         Vx,Hx,Wx          AVX10_2 E4NF w0 kz e1 bw
EVEX.NP M5 1B       VCVTBIASPH2HF8S     Vhx,Hx,Wx         AVX10_2 E4NF w0 kz e1 bw
EVEX.F3 M5 1B       VCVTPH2HF8S         Vhx,Wx            AVX10_2 E4NF w0 kz e1 bw
EVEX.F2 M5 1B       VCVT2PH2HF8S        Vx,Hx,Wx          AVX10_2 E4NF w0 kz e1 bw
EVEX.F2 M5 1E       VCVTHF82PH          Vx,Whx            AVX10_2 E5 w0 kz e2
EVEX.F3 M5 2E       VUCOMXSH            Vdq,Ww            AVX10_2 E3NF w0 sae
EVEX.66 M5 2F       VCOMISBF16          Vdq,Ww            AVX10_2 E10NF w0
EVEX.F3 M5 2F       VCOMXSH             Vdq,Ww            AVX10_2 E3NF w0 sae
EVEX.66 M5 51       VSQRTBF16           Vx,Wx             AVX10_2 E4 w0 kz bw
EVEX.66 M5 58       VADDBF16            Vx,Hx,Wx          AVX10_2 E4 w0 kz bw
EVEX.66 M5 59       VMULBF16            Vx,Hx,Wx          AVX10_2 E4 w0 kz bw
EVEX.66 M5 5C       VSUBBF16            Vx,Hx,Wx          AVX10_2 E4 w0 kz bw
EVEX.66 M5 5D       VMINBF16            Vx,Hx,Wx          AVX10_2 E4 w0 kz bw
EVEX.66 M5 5E       VDIVBF16            Vx,Hx,Wx          AVX10_2 E4 w0 kz bw
EVEX.66 M5 5F       VMAXBF16            Vx,Hx,Wx          AVX10_2 E4 w0 kz bw
EVEX.NP M5 68       VCVTTPH2IBS         Vx,Wx             AVX10_2 E2 w0 kz bw sae
EVEX.66 M5 68       VCVTTPS2IBS         Vx,Wx             AVX10_2 E2 w0 kz bd sae
EVEX.F2 M5 68       VCVTTBF162IBS       Vx,Wx             AVX10_2 E4 w0 kz bw
EVEX.NP M5 69       VCVTPH2IBS          Vx,Wx             AVX10_2 E2 w0 kz bw er
EVEX.66 M5 69       VCVTPS2IBS          Vx,Wx             AVX10_2 E2 w0 kz bd er
EVEX.F2 M5 69       VCVTBF162IBS        Vx,Wx             AVX10_2 E4 w0 kz bw
EVEX.NP M5 6A       VCVTTPH2IUBS        Vx,Wx             AVX10_2 E2 w0 kz bw sae
EVEX.66 M5 6A       VCVTTPS2IUBS        Vx,Wx             AVX10_2 E2 w0 kz bd sae
EVEX.F2 M5 6A       VCVTTBF162IUBS      Vx,Wx             AVX10_2 E4 w0 kz bw
EVEX.NP M5 6B       VCVTPH2IUBS         Vx,Wx             AVX10_2 E2 w0 kz bw er
EVEX.66 M5 6B       VCVTPS2IUBS         Vx,Wx             AVX10_2 E2 w0 kz bd er
EVEX.F2 M5 6B       VCVTBF162IUBS       Vx,Wx             AVX10_2 E4 w0 kz bw
EVEX.NP M5 6C       VCVTTPS2UDQS        Vx,Wx             AVX10_2 E2 w0 kz bd sae
EVEX.NP M5 6C       VCVTTPD2UDQS        Vhx,Wx            AVX10_2 E2 w1 kz e4 bq sae
EVEX.66 M5 6C       VCVTTPS2UQQS        Vx,Whx            AVX10_2 E3 w0 kz e8 bd sae
EVEX.66 M5 6C       VCVTTPD2UQQS        Vx,Wx             AVX10_2 E2 w1 kz bq sae
EVEX.F3 M5 6C       VCVTTSS2USIS        Gy,Wd             AVX10_2 E3NF sae
EVEX.F2 M5 6C       VCVTTSD2USIS        Gy,Wq             AVX10_2 E3NF sae
EVEX.NP M5 6D       VCVTTPS2DQS         Vx,Wx             AVX10_2 E2 w0 kz bd sae
EVEX.NP M5 6D       VCVTTPD2DQS         Vhx,Wx            AVX10_2 E2 w1 kz e4 bq sae
EVEX.66 M5 6D       VCVTTPS2QQS         Vx,Whx            AVX10_2 E3 w0 kz e8 bd sae
EVEX.66 M5 6D       VCVTTPD2QQS         Vx,Wx             AVX10_2 E2 w1 kz bq sae
EVEX.F3 M5 6D       VCVTTSS2SIS         Gy,Wd             AVX10_2 E3NF sae
EVEX.F2 M5 6D       VCVTTSD2SIS         Gy,Wq             AVX10_2 E3NF sae
EVEX.F3 M5 6E       VMOVW               Vdq,Ww            AVX10_2 E9NF w0 l0
EVEX.F3 M5 6F       VMOVRSD             Vx,Mx             AVX10_2+MOVRS E4 w0 kz e8 o64
EVEX.F3 M5 6F       VMOVRSQ             Vx,Mx             AVX10_2+MOVRS E4 w1 kz e8 o64
EVEX.F2 M5 6F       VMOVRSB             Vx,Mx             AVX10_2+MOVRS E4 w0 kz e1 o64
EVEX.F2 M5 6F       VMOVRSW             Vx,Mx             AVX10_2+MOVRS E4 w1 kz e2 o64
EVEX.NP M5 74       VCVTBIASPH2BF8S     Vhx,Hx,Wx         AVX10_2 E4NF w0 kz e1 bw
EVEX.F3 M5 74       VCVTPH2BF8S         Vhx,Wx            AVX10_2 E4NF w0 kz e1 bw
EVEX.F2 M5 74       VCVT2PH2BF8S        Vx,Hx,Wx          AVX10_2 E4NF w0 kz e1 bw
EVEX.F3 M5 7E       VMOVW               Ww,Vdq            AVX10_2 E9NF w0 l0
EVEX.NP M6 2C       VSCALEFBF16         Vx,Hx,Wx          AVX10_2 E4 w0 kz bw
EVEX.NP M6 42       VGETEXPBF16         Vx,Wx             AVX10_2 E4 w0 kz bw
EVEX.NP M6 4C       VRCPBF16            Vx,Wx             AVX10_2 E4 w0 kz bw
EVEX.NP M6 4E       VRSQRTBF16          Vx,Wx             AVX10_2 E4 w0 kz bw
EVEX.NP M6 98       VFMADD132BF16       Vx,Hx,Wx          AVX10_2 E4 w0 kz bw
EVEX.NP M6 9A       VFMSUB132BF16       Vx,Hx,Wx          AVX10_2 E4 w0 kz bw
EVEX.NP M6 9C       VFNMADD132BF16      Vx,Hx,Wx          AVX10_2 E4 w0 kz bw
EVEX.NP M6 9E       VFNMSUB132BF16      Vx,Hx,Wx          AVX10_2 E4 w0 kz bw
EVEX.NP M6 A8       VFMADD213BF16       Vx,Hx,Wx          AVX10_2 E4 w0 kz bw
EVEX.NP M6 AA       VFMSUB213BF16       Vx,Hx,Wx          AVX10_2 E4 w0 kz bw
EVEX.NP M6 AC       VFNMADD213BF16      Vx,Hx,Wx          AVX10_2 E4 w0 kz bw
EVEX.NP M6 AE       VFNMSUB213BF16      Vx,Hx,Wx          AVX10_2 E4 w0 kz bw
EVEX.NP M6 B8       VFMADD231BF16       Vx,Hx,Wx          AVX10_2 E4 w0 kz bw
EVEX.NP M6 BA       VFMSUB231BF16       Vx,Hx,Wx          AVX10_2 E4 w0 kz bw
EVEX.NP M6 BC       VFNMADD231BF16      Vx,Hx,Wx          AVX10_2 E4 w0 kz bw
EVEX.NP M6 BE       VFNMSUB231BF16      Vx,Hx,Wx          AVX10_2 E4 w0 kz bw
`
