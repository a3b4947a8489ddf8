/**
 * AVX-512 instructions of EVEX map 1 (0F).
 *
 * Source: Intel SDM vol. 2A to 2C, each instruction's page; vol. 2A, "Intel AVX-512 Encoding".
 */
export const evex0fRows: string = `
EVEX.NP 0F 10       VMOVUPS             Vx,Wx             AVX512F w0 kz vex
EVEX.66 0F 10       VMOVUPD             Vx,Wx             AVX512F w1 kz vex
EVEX.F3 0F 10       VMOVSS              Vdq,Hdq,Udq       AVX512F w0 kz vex
EVEX.F3 0F 10       VMOVSS              Vdq,Md            AVX512F w0 kz vex
EVEX.F2 0F 10       VMOVSD              Vdq,Hdq,Udq       AVX512F w1 kz vex
EVEX.F2 0F 10       VMOVSD              Vdq,Mq            AVX512F w1 kz vex
EVEX.NP 0F 11       VMOVUPS             Wx,Vx             AVX512F w0 kz vex
EVEX.66 0F 11       VMOVUPD             Wx,Vx             AVX512F w1 kz vex
EVEX.F3 0F 11       VMOVSS              Udq,Hdq,Vdq       AVX512F w0 kz vex
EVEX.F3 0F 11       VMOVSS              Md,Vdq            AVX512F w0 k vex
EVEX.F2 0F 11       VMOVSD              Udq,Hdq,Vdq       AVX512F w1 kz vex
EVEX.F2 0F 11       VMOVSD              Mq,Vdq            AVX512F w1 k vex
EVEX.NP 0F 12       VMOVHLPS            Vdq,Hdq,Udq       AVX512F w0 l0 vex
EVEX.NP 0F 12       VMOVLPS             Vdq,Hdq,Mq        AVX512F w0 l0 vex
EVEX.66 0F 12       VMOVLPD             Vdq,Hdq,Mq        AVX512F w1 l0 vex
EVEX.F3 0F 12       VMOVSLDUP           Vx,Wx             AVX512F w0 kz whole vex
EVEX.F2 0F 12       VMOVDDUP            Vdq,Wq            AVX512F+AVX512VL w1 l0 kz whole vex
EVEX.F2 0F 12       VMOVDDUP            Vx,Wx             AVX512F w1 l12 kz whole vex
EVEX.NP 0F 13       VMOVLPS             Mq,Vdq            AVX512F w0 l0 vex
EVEX.66 0F 13       VMOVLPD             Mq,Vdq            AVX512F w1 l0 vex
EVEX.NP 0F 14       VUNPCKLPS           Vx,Hx,Wx          AVX512F w0 kz whole bd vex
EVEX.66 0F 14       VUNPCKLPD           Vx,Hx,Wx          AVX512F w1 kz whole bq vex
EVEX.NP 0F 15       VUNPCKHPS           Vx,Hx,Wx          AVX512F w0 kz whole bd vex
EVEX.66 0F 15       VUNPCKHPD           Vx,Hx,Wx          AVX512F w1 kz whole bq vex
EVEX.NP 0F 16       VMOVLHPS            Vdq,Hdq,Udq       AVX512F w0 l0 vex
EVEX.NP 0F 16       VMOVHPS             Vdq,Hdq,Mq        AVX512F w0 l0 vex
EVEX.66 0F 16       VMOVHPD             Vdq,Hdq,Mq        AVX512F w1 l0 vex
EVEX.F3 0F 16       VMOVSHDUP           Vx,Wx             AVX512F w0 kz whole vex
EVEX.NP 0F 17       VMOVHPS             Mq,Vdq            AVX512F w0 l0 vex
EVEX.66 0F 17       VMOVHPD             Mq,Vdq            AVX512F w1 l0 vex
EVEX.NP 0F 28       VMOVAPS             Vx,Wx             AVX512F w0 kz vex
EVEX.66 0F 28       VMOVAPD             Vx,Wx             AVX512F w1 kz vex
EVEX.NP 0F 29       VMOVAPS             Wx,Vx             AVX512F w0 kz vex
EVEX.66 0F 29       VMOVAPD             Wx,Vx             AVX512F w1 kz vex
EVEX.F3 0F 2A       VCVTSI2SS           Vdq,Hdq,Ey        AVX512F er vex
EVEX.F2 0F 2A       VCVTSI2SD           Vdq,Hdq,Ey        AVX512F er vex
EVEX.NP 0F 2B       VMOVNTPS            Mx,Vx             AVX512F w0 vex
EVEX.66 0F 2B       VMOVNTPD            Mx,Vx             AVX512F w1 vex
EVEX.F3 0F 2C       VCVTTSS2SI          Gy,Wd             AVX512F sae vex
EVEX.F2 0F 2C       VCVTTSD2SI          Gy,Wq             AVX512F sae vex
EVEX.F3 0F 2D       VCVTSS2SI           Gy,Wd             AVX512F er vex
EVEX.F2 0F 2D       VCVTSD2SI           Gy,Wq             AVX512F er vex
EVEX.NP 0F 2E       VUCOMISS            Vdq,Wd            AVX512F w0 sae vex
EVEX.66 0F 2E       VUCOMISD            Vdq,Wq            AVX512F w1 sae vex
EVEX.NP 0F 2F       VCOMISS             Vdq,Wd            AVX512F w0 sae vex
EVEX.66 0F 2F       VCOMISD             Vdq,Wq            AVX512F w1 sae vex
EVEX.NP 0F 51       VSQRTPS             Vx,Wx             AVX512F w0 kz bd er vex
EVEX.66 0F 51       VSQRTPD             Vx,Wx             AVX512F w1 kz bq er vex
EVEX.F3 0F 51       VSQRTSS             Vdq,Hdq,Wd        AVX512F w0 kz er vex
EVEX.F2 0F 51       VSQRTSD             Vdq,Hdq,Wq        AVX512F w1 kz er vex
EVEX.NP 0F 54       VANDPS              Vx,Hx,Wx          AVX512DQ w0 kz bd vex
EVEX.66 0F 54       VANDPD              Vx,Hx,Wx          AVX512DQ w1 kz bq vex
EVEX.NP 0F 55       VANDNPS             Vx,Hx,Wx          AVX512DQ w0 kz bd vex
EVEX.66 0F 55       VANDNPD             Vx,Hx,Wx          AVX512DQ w1 kz bq vex
EVEX.NP 0F 56       VORPS               Vx,Hx,Wx          AVX512DQ w0 kz bd vex
EVEX.66 0F 56       VORPD               Vx,Hx,Wx          AVX512DQ w1 kz bq vex
EVEX.NP 0F 57       VXORPS              Vx,Hx,Wx          AVX512DQ w0 kz bd vex
EVEX.66 0F 57       VXORPD              Vx,Hx,Wx          AVX512DQ w1 kz bq vex
EVEX.NP 0F 58       VADDPS              Vx,Hx,Wx          AVX512F w0 kz bd er vex
EVEX.66 0F 58       VADDPD              Vx,Hx,Wx          AVX512F w1 kz bq er vex
EVEX.F3 0F 58       VADDSS              Vdq,Hdq,Wd        AVX512F w0 kz er vex
EVEX.F2 0F 58       VADDSD              Vdq,Hdq,Wq        AVX512F w1 kz er vex
EVEX.NP 0F 59       VMULPS              Vx,Hx,Wx          AVX512F w0 kz bd er vex
EVEX.66 0F 59       VMULPD              Vx,Hx,Wx          AVX512F w1 kz bq er vex
EVEX.F3 0F 59       VMULSS              Vdq,Hdq,Wd        AVX512F w0 kz er vex
EVEX.F2 0F 59       VMULSD              Vdq,Hdq,Wq        AVX512F w1 kz er vex
EVEX.NP 0F 5A       VCVTPS2PD           Vx,Whx            AVX512F w0 kz bd sae vex
EVEX.66 0F 5A       VCVTPD2PS           Vhx,Wx            AVX512F w1 kz bq er vex
EVEX.F3 0F 5A       VCVTSS2SD           Vdq,Hdq,Wd        AVX512F w0 kz sae vex
EVEX.F2 0F 5A       VCVTSD2SS           Vdq,Hdq,Wq        AVX512F w1 kz er vex
EVEX.NP 0F 5B       VCVTDQ2PS           Vx,Wx             AVX512F w0 kz bd er vex
EVEX.NP 0F 5B       VCVTQQ2PS           Vhx,Wx            AVX512DQ w1 kz bq er
EVEX.66 0F 5B       VCVTPS2DQ           Vx,Wx             AVX512F w0 kz bd er vex
EVEX.F3 0F 5B       VCVTTPS2DQ          Vx,Wx             AVX512F w0 kz bd sae vex
EVEX.NP 0F 5C       VSUBPS              Vx,Hx,Wx          AVX512F w0 kz bd er vex
EVEX.66 0F 5C       VSUBPD              Vx,Hx,Wx          AVX512F w1 kz bq er vex
EVEX.F3 0F 5C       VSUBSS              Vdq,Hdq,Wd        AVX512F w0 kz er vex
EVEX.F2 0F 5C       VSUBSD              Vdq,Hdq,Wq        AVX512F w1 kz er vex
EVEX.NP 0F 5D       VMINPS              Vx,Hx,Wx          AVX512F w0 kz bd sae vex
EVEX.66 0F 5D       VMINPD              Vx,Hx,Wx          AVX512F w1 kz bq sae vex
EVEX.F3 0F 5D       VMINSS              Vdq,Hdq,Wd        AVX512F w0 kz sae vex
EVEX.F2 0F 5D       VMINSD              Vdq,Hdq,Wq        AVX512F w1 kz sae vex
EVEX.NP 0F 5E       VDIVPS              Vx,Hx,Wx          AVX512F w0 kz bd er vex
EVEX.66 0F 5E       VDIVPD              Vx,Hx,Wx          AVX512F w1 kz bq er vex
EVEX.F3 0F 5E       VDIVSS              Vdq,Hdq,Wd        AVX512F w0 kz er vex
EVEX.F2 0F 5E       VDIVSD              Vdq,Hdq,Wq        AVX512F w1 kz er vex
EVEX.NP 0F 5F       VMAXPS              Vx,Hx,Wx          AVX512F w0 kz bd sae vex
EVEX.66 0F 5F       VMAXPD              Vx,Hx,Wx          AVX512F w1 kz bq sae vex
EVEX.F3 0F 5F       VMAXSS              Vdq,Hdq,Wd        AVX512F w0 kz sae vex
EVEX.F2 0F 5F       VMAXSD              Vdq,Hdq,Wq        AVX512F w1 kz sae vex
EVEX.66 0F 60       VPUNPCKLBW          Vx,Hx,Wx          AVX512BW kz whole vex
EVEX.66 0F 61       VPUNPCKLWD          Vx,Hx,Wx          AVX512BW kz whole vex
EVEX.66 0F 62       VPUNPCKLDQ          Vx,Hx,Wx          AVX512F w0 kz whole bd vex
EVEX.66 0F 63       VPACKSSWB           Vx,Hx,Wx          AVX512BW kz whole vex
EVEX.66 0F 64       VPCMPGTB            kG,Hx,Wx          AVX512BW k
EVEX.66 0F 65       VPCMPGTW            kG,Hx,Wx          AVX512BW k
EVEX.66 0F 66       VPCMPGTD            kG,Hx,Wx          AVX512F w0 k bd
EVEX.66 0F 67       VPACKUSWB           Vx,Hx,Wx          AVX512BW kz whole vex
EVEX.66 0F 68       VPUNPCKHBW          Vx,Hx,Wx          AVX512BW kz whole vex
EVEX.66 0F 69       VPUNPCKHWD          Vx,Hx,Wx          AVX512BW kz whole vex
EVEX.66 0F 6A       VPUNPCKHDQ          Vx,Hx,Wx          AVX512F w0 kz whole bd vex
EVEX.66 0F 6B       VPACKSSDW           Vx,Hx,Wx          AVX512BW w0 kz whole bd vex
EVEX.66 0F 6C       VPUNPCKLQDQ         Vx,Hx,Wx          AVX512F w1 kz whole bq vex
EVEX.66 0F 6D       VPUNPCKHQDQ         Vx,Hx,Wx          AVX512F w1 kz whole bq vex
EVEX.66 0F 6E       VMOVD/VMOVQ         Vdq,Ey            AVX512F l0 vex
EVEX.66 0F 6F       VMOVDQA32           Vx,Wx             AVX512F w0 kz
EVEX.66 0F 6F       VMOVDQA64           Vx,Wx             AVX512F w1 kz
EVEX.F3 0F 6F       VMOVDQU32           Vx,Wx             AVX512F w0 kz
EVEX.F3 0F 6F       VMOVDQU64           Vx,Wx             AVX512F w1 kz
EVEX.F2 0F 6F       VMOVDQU8            Vx,Wx             AVX512BW w0 kz
EVEX.F2 0F 6F       VMOVDQU16           Vx,Wx             AVX512BW w1 kz
EVEX.66 0F 70       VPSHUFD             Vx,Wx,Ib          AVX512F w0 kz whole bd vex
EVEX.F3 0F 70       VPSHUFHW            Vx,Wx,Ib          AVX512BW kz whole vex
EVEX.F2 0F 70       VPSHUFLW            Vx,Wx,Ib          AVX512BW kz whole vex
EVEX.66 0F 71 /2    VPSRLW              Hx,Wx,Ib          AVX512BW kz vex
EVEX.66 0F 71 /4    VPSRAW              Hx,Wx,Ib          AVX512BW kz vex
EVEX.66 0F 71 /6    VPSLLW              Hx,Wx,Ib          AVX512BW kz vex
EVEX.66 0F 72 /0    VPRORD              Hx,Wx,Ib          AVX512F w0 kz bd
EVEX.66 0F 72 /0    VPRORQ              Hx,Wx,Ib          AVX512F w1 kz bq
EVEX.66 0F 72 /1    VPROLD              Hx,Wx,Ib          AVX512F w0 kz bd
EVEX.66 0F 72 /1    VPROLQ              Hx,Wx,Ib          AVX512F w1 kz bq
EVEX.66 0F 72 /2    VPSRLD              Hx,Wx,Ib          AVX512F w0 kz bd vex
EVEX.66 0F 72 /4    VPSRAD              Hx,Wx,Ib          AVX512F w0 kz bd vex
EVEX.66 0F 72 /4    VPSRAQ              Hx,Wx,Ib          AVX512F w1 kz bq
EVEX.66 0F 72 /6    VPSLLD              Hx,Wx,Ib          AVX512F w0 kz bd vex
EVEX.66 0F 73 /2    VPSRLQ              Hx,Wx,Ib          AVX512F w1 kz bq vex
EVEX.66 0F 73 /3    VPSRLDQ             Hx,Wx,Ib          AVX512BW vex
EVEX.66 0F 73 /6    VPSLLQ              Hx,Wx,Ib          AVX512F w1 kz bq vex
EVEX.66 0F 73 /7    VPSLLDQ             Hx,Wx,Ib          AVX512BW vex
EVEX.66 0F 74       VPCMPEQB            kG,Hx,Wx          AVX512BW k
EVEX.66 0F 75       VPCMPEQW            kG,Hx,Wx          AVX512BW k
EVEX.66 0F 76       VPCMPEQD            kG,Hx,Wx          AVX512F w0 k bd
EVEX.NP 0F 78       VCVTTPS2UDQ         Vx,Wx             AVX512F w0 kz bd sae
EVEX.NP 0F 78       VCVTTPD2UDQ         Vhx,Wx            AVX512F w1 kz bq sae
EVEX.66 0F 78       VCVTTPS2UQQ         Vx,Whx            AVX512DQ w0 kz bd sae
EVEX.66 0F 78       VCVTTPD2UQQ         Vx,Wx             AVX512DQ w1 kz bq sae
EVEX.F3 0F 78       VCVTTSS2USI         Gy,Wd             AVX512F sae
EVEX.F2 0F 78       VCVTTSD2USI         Gy,Wq             AVX512F sae
EVEX.NP 0F 79       VCVTPS2UDQ          Vx,Wx             AVX512F w0 kz bd er
EVEX.NP 0F 79       VCVTPD2UDQ          Vhx,Wx            AVX512F w1 kz bq er
EVEX.66 0F 79       VCVTPS2UQQ          Vx,Whx            AVX512DQ w0 kz bd er
EVEX.66 0F 79       VCVTPD2UQQ          Vx,Wx             AVX512DQ w1 kz bq er
EVEX.F3 0F 79       VCVTSS2USI          Gy,Wd             AVX512F er
EVEX.F2 0F 79       VCVTSD2USI          Gy,Wq             AVX512F er
EVEX.66 0F 7A       VCVTTPS2QQ          Vx,Whx            AVX512DQ w0 kz bd sae
EVEX.66 0F 7A       VCVTTPD2QQ          Vx,Wx             AVX512DQ w1 kz bq sae
EVEX.F3 0F 7A       VCVTUDQ2PD          Vx,Whx            AVX512F w0 kz bd er
EVEX.F3 0F 7A       VCVTUQQ2PD          Vx,Wx             AVX512DQ w1 kz bq er
EVEX.F2 0F 7A       VCVTUDQ2PS          Vx,Wx             AVX512F w0 kz bd er
EVEX.F2 0F 7A       VCVTUQQ2PS          Vhx,Wx            AVX512DQ w1 kz bq er
EVEX.66 0F 7B       VCVTPS2QQ           Vx,Whx            AVX512DQ w0 kz bd er
EVEX.66 0F 7B       VCVTPD2QQ           Vx,Wx             AVX512DQ w1 kz bq er
EVEX.F3 0F 7B       VCVTUSI2SS          Vdq,Hdq,Ey        AVX512F er
EVEX.F2 0F 7B       VCVTUSI2SD          Vdq,Hdq,Ey        AVX512F er
EVEX.66 0F 7E       VMOVD/VMOVQ         Ey,Vdq            AVX512F l0 vex
EVEX.F3 0F 7E       VMOVQ               Vdq,Wq            AVX512F w1 l0 vex
EVEX.66 0F 7F       VMOVDQA32           Wx,Vx             AVX512F w0 kz
EVEX.66 0F 7F       VMOVDQA64           Wx,Vx             AVX512F w1 kz
EVEX.F3 0F 7F       VMOVDQU32           Wx,Vx             AVX512F w0 kz
EVEX.F3 0F 7F       VMOVDQU64           Wx,Vx             AVX512F w1 kz
EVEX.F2 0F 7F       VMOVDQU8            Wx,Vx             AVX512BW w0 kz
EVEX.F2 0F 7F       VMOVDQU16           Wx,Vx             AVX512BW w1 kz
EVEX.NP 0F C2       VCMPPS              kG,Hx,Wx,Ib       AVX512F w0 k bd sae
EVEX.66 0F C2       VCMPPD              kG,Hx,Wx,Ib       AVX512F w1 k bq sae
EVEX.F3 0F C2       VCMPSS              kG,Hdq,Wd,Ib      AVX512F w0 k sae
EVEX.F2 0F C2       VCMPSD              kG,Hdq,Wq,Ib      AVX512F w1 k sae
EVEX.66 0F C4       VPINSRW             Vdq,Hdq,Ry/Mw,Ib  AVX512BW l0 vex
EVEX.66 0F C5       VPEXTRW             Gy,Udq,Ib         AVX512BW l0 vex
EVEX.NP 0F C6       VSHUFPS             Vx,Hx,Wx,Ib       AVX512F w0 kz whole bd vex
EVEX.66 0F C6       VSHUFPD             Vx,Hx,Wx,Ib       AVX512F w1 kz whole bq vex
EVEX.66 0F D1       VPSRLW              Vx,Hx,Wdq         AVX512BW kz whole vex
EVEX.66 0F D2       VPSRLD              Vx,Hx,Wdq         AVX512F w0 kz whole vex
EVEX.66 0F D3       VPSRLQ              Vx,Hx,Wdq         AVX512F w1 kz whole vex
EVEX.66 0F D4       VPADDQ              Vx,Hx,Wx          AVX512F w1 kz bq vex
EVEX.66 0F D5       VPMULLW             Vx,Hx,Wx          AVX512BW kz vex
EVEX.66 0F D6       VMOVQ               Wq,Vdq            AVX512F w1 l0 vex
EVEX.66 0F D8       VPSUBUSB            Vx,Hx,Wx          AVX512BW kz vex
EVEX.66 0F D9       VPSUBUSW            Vx,Hx,Wx          AVX512BW kz vex
EVEX.66 0F DA       VPMINUB             Vx,Hx,Wx          AVX512BW kz vex
EVEX.66 0F DB       VPANDD              Vx,Hx,Wx          AVX512F w0 kz bd
EVEX.66 0F DB       VPANDQ              Vx,Hx,Wx          AVX512F w1 kz bq
EVEX.66 0F DC       VPADDUSB            Vx,Hx,Wx          AVX512BW kz vex
EVEX.66 0F DD       VPADDUSW            Vx,Hx,Wx          AVX512BW kz vex
EVEX.66 0F DE       VPMAXUB             Vx,Hx,Wx          AVX512BW kz vex
EVEX.66 0F DF       VPANDND             Vx,Hx,Wx          AVX512F w0 kz bd
EVEX.66 0F DF       VPANDNQ             Vx,Hx,Wx          AVX512F w1 kz bq
EVEX.66 0F E0       VPAVGB              Vx,Hx,Wx          AVX512BW kz vex
EVEX.66 0F E1       VPSRAW              Vx,Hx,Wdq         AVX512BW kz whole vex
EVEX.66 0F E2       VPSRAD              Vx,Hx,Wdq         AVX512F w0 kz whole vex
EVEX.66 0F E2       VPSRAQ              Vx,Hx,Wdq         AVX512F w1 kz whole
EVEX.66 0F E3       VPAVGW              Vx,Hx,Wx          AVX512BW kz vex
EVEX.66 0F E4       VPMULHUW            Vx,Hx,Wx          AVX512BW kz vex
EVEX.66 0F E5       VPMULHW             Vx,Hx,Wx          AVX512BW kz vex
EVEX.66 0F E6       VCVTTPD2DQ          Vhx,Wx            AVX512F w1 kz bq sae vex
EVEX.F3 0F E6       VCVTDQ2PD           Vx,Whx            AVX512F w0 kz bd er vex
EVEX.F3 0F E6       VCVTQQ2PD           Vx,Wx             AVX512DQ w1 kz bq er
EVEX.F2 0F E6       VCVTPD2DQ           Vhx,Wx            AVX512F w1 kz bq er vex
EVEX.66 0F E7       VMOVNTDQ            Mx,Vx             AVX512F w0 vex
EVEX.66 0F E8       VPSUBSB             Vx,Hx,Wx          AVX512BW kz vex
EVEX.66 0F E9       VPSUBSW             Vx,Hx,Wx          AVX512BW kz vex
EVEX.66 0F EA       VPMINSW             Vx,Hx,Wx          AVX512BW kz vex
EVEX.66 0F EB       VPORD               Vx,Hx,Wx          AVX512F w0 kz bd
EVEX.66 0F EB       VPORQ               Vx,Hx,Wx          AVX512F w1 kz bq
EVEX.66 0F EC       VPADDSB             Vx,Hx,Wx          AVX512BW kz vex
EVEX.66 0F ED       VPADDSW             Vx,Hx,Wx          AVX512BW kz vex
EVEX.66 0F EE       VPMAXSW             Vx,Hx,Wx          AVX512BW kz vex
EVEX.66 0F EF       VPXORD              Vx,Hx,Wx          AVX512F w0 kz bd
EVEX.66 0F EF       VPXORQ              Vx,Hx,Wx          AVX512F w1 kz bq
EVEX.66 0F F1       VPSLLW              Vx,Hx,Wdq         AVX512BW kz whole vex
EVEX.66 0F F2       VPSLLD              Vx,Hx,Wdq         AVX512F w0 kz whole vex
EVEX.66 0F F3       VPSLLQ              Vx,Hx,Wdq         AVX512F w1 kz whole vex
EVEX.66 0F F4       VPMULUDQ            Vx,Hx,Wx          AVX512F w1 kz bq vex
EVEX.66 0F F5       VPMADDWD            Vx,Hx,Wx          AVX512BW kz whole vex
EVEX.66 0F F6       VPSADBW             Vx,Hx,Wx          AVX512BW vex
EVEX.66 0F F8       VPSUBB              Vx,Hx,Wx          AVX512BW kz vex
EVEX.66 0F F9       VPSUBW              Vx,Hx,Wx          AVX512BW kz vex
EVEX.66 0F FA       VPSUBD              Vx,Hx,Wx          AVX512F w0 kz bd vex
EVEX.66 0F FB       VPSUBQ              Vx,Hx,Wx          AVX512F w1 kz bq vex
EVEX.66 0F FC       VPADDB              Vx,Hx,Wx          AVX512BW kz vex
EVEX.66 0F FD       VPADDW              Vx,Hx,Wx          AVX512BW kz vex
EVEX.66 0F FE       VPADDD              Vx,Hx,Wx          AVX512F w0 kz bd vex
`
