/**
 * AVX-512 FP16 instructions of EVEX maps 5 and 6.
 *
 * Source: Intel SDM vol. 2A to 2C, each instruction's page; vol. 2A, "Intel AVX-512 Encoding".
 */
export const evexFp16Rows: string = `
EVEX.F3 M5 10       VMOVSH              Vdq,Mw            AVX512_FP16 E5 w0 kz e2
EVEX.F3 M5 10       VMOVSH              Vdq,Hdq,Udq       AVX512_FP16 E5 w0 kz e2
EVEX.F3 M5 11       VMOVSH              Mw,Vdq            AVX512_FP16 E5 w0 k e2
EVEX.F3 M5 11       VMOVSH              Udq,Hdq,Vdq       AVX512_FP16 E5 w0 kz e2
EVEX.NP M5 1D       VCVTSS2SH           Vdq,Hdq,Wd        AVX512_FP16 E3 w0 kz e2 er
EVEX.66 M5 1D       VCVTPS2PHX          Vhx,Wx            AVX512_FP16 E2 w0 kz e2 bd er
EVEX.F3 M5 2A       VCVTSI2SH           Vdq,Hdq,Ey        AVX512_FP16 E3NF er
EVEX.F3 M5 2C       VCVTTSH2SI          Gy,Ww             AVX512_FP16 E3NF sae
EVEX.F3 M5 2D       VCVTSH2SI           Gy,Ww             AVX512_FP16 E3NF er
EVEX.NP M5 2E       VUCOMISH            Vdq,Ww            AVX512_FP16 E3NF w0 sae
EVEX.NP M5 2F       VCOMISH             Vdq,Ww            AVX512_FP16 E3NF w0 sae
EVEX.NP M5 51       VSQRTPH             Vx,Wx             AVX512_FP16 E2 w0 kz bw er
EVEX.F3 M5 51       VSQRTSH             Vdq,Hdq,Ww        AVX512_FP16 E3 w0 kz e2 er
EVEX.NP M5 58       VADDPH              Vx,Hx,Wx          AVX512_FP16 E2 w0 kz bw er
EVEX.F3 M5 58       VADDSH              Vdq,Hdq,Ww        AVX512_FP16 E3 w0 kz e2 er
EVEX.NP M5 59       VMULPH              Vx,Hx,Wx          AVX512_FP16 E2 w0 kz bw er
EVEX.F3 M5 59       VMULSH              Vdq,Hdq,Ww        AVX512_FP16 E3 w0 kz e2 er
EVEX.NP M5 5A       VCVTPH2PD           Vx,Wqx            AVX512_FP16 E2 w0 kz e8 bw sae
EVEX.66 M5 5A       VCVTPD2PH           Vqx,Wx            AVX512_FP16 E2 w1 kz e2 bq er
EVEX.F3 M5 5A       VCVTSH2SD           Vdq,Hdq,Ww        AVX512_FP16 E3 w0 kz e8 sae
EVEX.F2 M5 5A       VCVTSD2SH           Vdq,Hdq,Wq        AVX512_FP16 E3 w1 kz e2 er
EVEX.NP M5 5B       VCVTDQ2PH           Vhx,Wx            AVX512_FP16 E2 w0 kz e2 bd er
EVEX.NP M5 5B       VCVTQQ2PH           Vqx,Wx            AVX512_FP16 E2 w1 kz e2 bq er
EVEX.66 M5 5B       VCVTPH2DQ           Vx,Whx            AVX512_FP16 E2 w0 kz e4 bw er
EVEX.F3 M5 5B       VCVTTPH2DQ          Vx,Whx            AVX512_FP16 E2 w0 kz e4 bw sae
EVEX.NP M5 5C       VSUBPH              Vx,Hx,Wx          AVX512_FP16 E2 w0 kz bw er
EVEX.F3 M5 5C       VSUBSH              Vdq,Hdq,Ww        AVX512_FP16 E3 w0 kz e2 er
EVEX.NP M5 5D       VMINPH              Vx,Hx,Wx          AVX512_FP16 E2 w0 kz bw sae
EVEX.F3 M5 5D       VMINSH              Vdq,Hdq,Ww        AVX512_FP16 E3 w0 kz e2 sae
EVEX.NP M5 5E       VDIVPH              Vx,Hx,Wx          AVX512_FP16 E2 w0 kz bw er
EVEX.F3 M5 5E       VDIVSH              Vdq,Hdq,Ww        AVX512_FP16 E3 w0 kz e2 er
EVEX.NP M5 5F       VMAXPH              Vx,Hx,Wx          AVX512_FP16 E2 w0 kz bw sae
EVEX.F3 M5 5F       VMAXSH              Vdq,Hdq,Ww        AVX512_FP16 E3 w0 kz e2 sae
EVEX.66 M5 6E       VMOVW               Vdq,Ry/Mw         AVX512_FP16 E9NF l0
EVEX.NP M5 78       VCVTTPH2UDQ         Vx,Whx            AVX512_FP16 E2 w0 kz e4 bw sae
EVEX.66 M5 78       VCVTTPH2UQQ         Vx,Wqx            AVX512_FP16 E2 w0 kz e8 bw sae
EVEX.F3 M5 78       VCVTTSH2USI         Gy,Ww             AVX512_FP16 E3NF sae
EVEX.NP M5 79       VCVTPH2UDQ          Vx,Whx            AVX512_FP16 E2 w0 kz e4 bw er
EVEX.66 M5 79       VCVTPH2UQQ          Vx,Wqx            AVX512_FP16 E2 w0 kz e8 bw er
EVEX.F3 M5 79       VCVTSH2USI          Gy,Ww             AVX512_FP16 E3NF er
EVEX.66 M5 7A       VCVTTPH2QQ          Vx,Wqx            AVX512_FP16 E2 w0 kz e8 bw sae
EVEX.F2 M5 7A       VCVTUDQ2PH          Vhx,Wx            AVX512_FP16 E2 w0 kz e2 bd er
EVEX.F2 M5 7A       VCVTUQQ2PH          Vqx,Wx            AVX512_FP16 E2 w1 kz e2 bq er
EVEX.66 M5 7B       VCVTPH2QQ           Vx,Wqx            AVX512_FP16 E2 w0 kz e8 bw er
EVEX.F3 M5 7B       VCVTUSI2SH          Vdq,Hdq,Ey        AVX512_FP16 E3NF er
EVEX.NP M5 7C       VCVTTPH2UW          Vx,Wx             AVX512_FP16 E2 w0 kz bw sae
EVEX.66 M5 7C       VCVTTPH2W           Vx,Wx             AVX512_FP16 E2 w0 kz bw sae
EVEX.NP M5 7D       VCVTPH2UW           Vx,Wx             AVX512_FP16 E2 w0 kz bw er
EVEX.66 M5 7D       VCVTPH2W            Vx,Wx             AVX512_FP16 E2 w0 kz bw er
EVEX.F3 M5 7D       VCVTW2PH            Vx,Wx             AVX512_FP16 E2 w0 kz bw er
EVEX.F2 M5 7D       VCVTUW2PH           Vx,Wx             AVX512_FP16 E2 w0 kz bw er
EVEX.66 M5 7E       VMOVW               Ry/Mw,Vdq         AVX512_FP16 E9NF l0
EVEX.NP M6 13       VCVTSH2SS           Vdq,Hdq,Ww        AVX512_FP16 E3 w0 kz e4 sae
EVEX.66 M6 13       VCVTPH2PSX          Vx,Whx            AVX512_FP16 E2 w0 kz e4 bw sae
EVEX.66 M6 2C       VSCALEFPH           Vx,Hx,Wx          AVX512_FP16 E2 w0 kz bw er
EVEX.66 M6 2D       VSCALEFSH           Vdq,Hdq,Ww        AVX512_FP16 E3 w0 kz e2 er
EVEX.66 M6 42       VGETEXPPH           Vx,Wx             AVX512_FP16 E2 w0 kz bw sae
EVEX.66 M6 43       VGETEXPSH           Vdq,Hdq,Ww        AVX512_FP16 E3 w0 kz e2 sae
EVEX.66 M6 4C       VRCPPH              Vx,Wx             AVX512_FP16 E4 w0 kz bw
EVEX.66 M6 4D       VRCPSH              Vdq,Hdq,Ww        AVX512_FP16 E10 w0 kz e2
EVEX.66 M6 4E       VRSQRTPH            Vx,Wx             AVX512_FP16 E4 w0 kz bw
EVEX.66 M6 4F       VRSQRTSH            Vdq,Hdq,Ww        AVX512_FP16 E10 w0 kz e2
EVEX.F3 M6 56       VFMADDCPH           Vx,Hx,Wx          AVX512_FP16 E4 w0 kz bd er distinct
EVEX.F2 M6 56       VFCMADDCPH          Vx,Hx,Wx          AVX512_FP16 E4 w0 kz bd er distinct
EVEX.F3 M6 57       VFMADDCSH           Vdq,Hdq,Wd        AVX512_FP16 E10 w0 kz e4 er distinct
EVEX.F2 M6 57       VFCMADDCSH          Vdq,Hdq,Wd        AVX512_FP16 E10 w0 kz e4 er distinct
EVEX.66 M6 96       VFMADDSUB132PH      Vx,Hx,Wx          AVX512_FP16 E2 w0 kz bw er
EVEX.66 M6 97       VFMSUBADD132PH      Vx,Hx,Wx          AVX512_FP16 E2 w0 kz bw er
EVEX.66 M6 98       VFMADD132PH         Vx,Hx,Wx          AVX512_FP16 E2 w0 kz bw er
EVEX.66 M6 99       VFMADD132SH         Vdq,Hdq,Ww        AVX512_FP16 E3 w0 kz e2 er
EVEX.66 M6 9A       VFMSUB132PH         Vx,Hx,Wx          AVX512_FP16 E2 w0 kz bw er
EVEX.66 M6 9B       VFMSUB132SH         Vdq,Hdq,Ww        AVX512_FP16 E3 w0 kz e2 er
EVEX.66 M6 9C       VFNMADD132PH        Vx,Hx,Wx          AVX512_FP16 E2 w0 kz bw er
EVEX.66 M6 9D       VFNMADD132SH        Vdq,Hdq,Ww        AVX512_FP16 E3 w0 kz e2 er
EVEX.66 M6 9E       VFNMSUB132PH        Vx,Hx,Wx          AVX512_FP16 E2 w0 kz bw er
EVEX.66 M6 9F       VFNMSUB132SH        Vdq,Hdq,Ww        AVX512_FP16 E3 w0 kz e2 er
EVEX.66 M6 A6       VFMADDSUB213PH      Vx,Hx,Wx          AVX512_FP16 E2 w0 kz bw er
EVEX.66 M6 A7       VFMSUBADD213PH      Vx,Hx,Wx          AVX512_FP16 E2 w0 kz bw er
EVEX.66 M6 A8       VFMADD213PH         Vx,Hx,Wx          AVX512_FP16 E2 w0 kz bw er
EVEX.66 M6 A9       VFMADD213SH         Vdq,Hdq,Ww        AVX512_FP16 E3 w0 kz e2 er
EVEX.66 M6 AA       VFMSUB213PH         Vx,Hx,Wx          AVX512_FP16 E2 w0 kz bw er
EVEX.66 M6 AB       VFMSUB213SH         Vdq,Hdq,Ww        AVX512_FP16 E3 w0 kz e2 er
EVEX.66 M6 AC       VFNMADD213PH        Vx,Hx,Wx          AVX512_FP16 E2 w0 kz bw er
EVEX.66 M6 AD       VFNMADD213SH        Vdq,Hdq,Ww        AVX512_FP16 E3 w0 kz e2 er
EVEX.66 M6 AE       VFNMSUB213PH        Vx,Hx,Wx          AVX512_FP16 E2 w0 kz bw er
EVEX.66 M6 AF       VFNMSUB213SH        Vdq,Hdq,Ww        AVX512_FP16 E3 w0 kz e2 er
EVEX.66 M6 B6       VFMADDSUB231PH      Vx,Hx,Wx          AVX512_FP16 E2 w0 kz bw er
EVEX.66 M6 B7       VFMSUBADD231PH      Vx,Hx,Wx          AVX512_FP16 E2 w0 kz bw er
EVEX.66 M6 B8       VFMADD231PH         Vx,Hx,Wx          AVX512_FP16 E2 w0 kz bw er
EVEX.66 M6 B9       VFMADD231SH         Vdq,Hdq,Ww        AVX512_FP16 E3 w0 kz e2 er
EVEX.66 M6 BA       VFMSUB231PH         Vx,Hx,Wx          AVX512_FP16 E2 w0 kz bw er
EVEX.66 M6 BB       VFMSUB231SH         Vdq,Hdq,Ww        AVX512_FP16 E3 w0 kz e2 er
EVEX.66 M6 BC       VFNMADD231PH        Vx,Hx,Wx          AVX512_FP16 E2 w0 kz bw er
EVEX.66 M6 BD       VFNMADD231SH        Vdq,Hdq,Ww        AVX512_FP16 E3 w0 kz e2 er
EVEX.66 M6 BE       VFNMSUB231PH        Vx,Hx,Wx          AVX512_FP16 E2 w0 kz bw er
EVEX.66 M6 BF       VFNMSUB231SH        Vdq,Hdq,Ww        AVX512_FP16 E3 w0 kz e2 er
EVEX.F3 M6 D6       VFMULCPH            Vx,Hx,Wx          AVX512_FP16 E4 w0 kz bd er distinct
EVEX.F2 M6 D6       VFCMULCPH           Vx,Hx,Wx          AVX512_FP16 E4 w0 kz bd er distinct
EVEX.F3 M6 D7       VFMULCSH            Vdq,Hdq,Wd        AVX512_FP16 E10 w0 kz e4 er distinct
EVEX.F2 M6 D7       VFCMULCSH           Vdq,Hdq,Wd        AVX512_FP16 E10 w0 kz e4 er distinct
`
