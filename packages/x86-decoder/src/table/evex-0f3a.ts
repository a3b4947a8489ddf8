/**
 * AVX-512 instructions of EVEX map 3 (0F 3A).
 *
 * Source: Intel SDM vol. 2A to 2C, each instruction's page; vol. 2A, "Intel AVX-512 Encoding".
 */
export const evex0f3aRows: string = `
EVEX.66 0F 3A 00    VPERMQ              Vx,Wx,Ib          AVX512F w1 l12 kz whole bq vex
EVEX.66 0F 3A 01    VPERMPD             Vx,Wx,Ib          AVX512F w1 l12 kz whole bq vex
EVEX.66 0F 3A 03    VALIGND             Vx,Hx,Wx,Ib       AVX512F w0 kz whole bd
EVEX.66 0F 3A 03    VALIGNQ             Vx,Hx,Wx,Ib       AVX512F w1 kz whole bq
EVEX.66 0F 3A 04    VPERMILPS           Vx,Wx,Ib          AVX512F w0 kz whole bd vex
EVEX.66 0F 3A 05    VPERMILPD           Vx,Wx,Ib          AVX512F w1 kz whole bq vex
EVEX.NP 0F 3A 08    VRNDSCALEPH         Vx,Wx,Ib          AVX512_FP16 w0 kz bw sae
EVEX.66 0F 3A 08    VRNDSCALEPS         Vx,Wx,Ib          AVX512F w0 kz bd sae
EVEX.66 0F 3A 09    VRNDSCALEPD         Vx,Wx,Ib          AVX512F w1 kz bq sae
EVEX.NP 0F 3A 0A    VRNDSCALESH         Vdq,Hdq,Ww,Ib     AVX512_FP16 w0 kz sae
EVEX.66 0F 3A 0A    VRNDSCALESS         Vdq,Hdq,Wd,Ib     AVX512F w0 kz sae
EVEX.66 0F 3A 0B    VRNDSCALESD         Vdq,Hdq,Wq,Ib     AVX512F w1 kz sae
EVEX.66 0F 3A 0F    VPALIGNR            Vx,Hx,Wx,Ib       AVX512BW kz whole vex
EVEX.66 0F 3A 14    VPEXTRB             Ry/Mb,Vdq,Ib      AVX512BW l0 vex
EVEX.66 0F 3A 15    VPEXTRW             Ry/Mw,Vdq,Ib      AVX512BW l0 vex
EVEX.66 0F 3A 16    VPEXTRD/VPEXTRQ     Ey,Vdq,Ib         AVX512DQ l0 vex
EVEX.66 0F 3A 17    VEXTRACTPS          Ry/Md,Vdq,Ib      AVX512F l0 vex
EVEX.66 0F 3A 18    VINSERTF32X4        Vx,Hx,Wdq,Ib      AVX512F w0 l12 kz whole
EVEX.66 0F 3A 18    VINSERTF64X2        Vx,Hx,Wdq,Ib      AVX512DQ w1 l12 kz whole
EVEX.66 0F 3A 19    VEXTRACTF32X4       Wdq,Vx,Ib         AVX512F w0 l12 kz whole
EVEX.66 0F 3A 19    VEXTRACTF64X2       Wdq,Vx,Ib         AVX512DQ w1 l12 kz whole
EVEX.66 0F 3A 1A    VINSERTF32X8        Voq,Hoq,Wqq,Ib    AVX512DQ w0 l2 kz whole
EVEX.66 0F 3A 1A    VINSERTF64X4        Voq,Hoq,Wqq,Ib    AVX512F w1 l2 kz whole
EVEX.66 0F 3A 1B    VEXTRACTF32X8       Wqq,Voq,Ib        AVX512DQ w0 l2 kz whole
EVEX.66 0F 3A 1B    VEXTRACTF64X4       Wqq,Voq,Ib        AVX512F w1 l2 kz whole
EVEX.66 0F 3A 1D    VCVTPS2PH           Whx,Vx,Ib         AVX512F w0 kz sae vex
EVEX.66 0F 3A 1E    VPCMPUD             kG,Hx,Wx,Ib       AVX512F w0 k bd
EVEX.66 0F 3A 1E    VPCMPUQ             kG,Hx,Wx,Ib       AVX512F w1 k bq
EVEX.66 0F 3A 1F    VPCMPD              kG,Hx,Wx,Ib       AVX512F w0 k bd
EVEX.66 0F 3A 1F    VPCMPQ              kG,Hx,Wx,Ib       AVX512F w1 k bq
EVEX.66 0F 3A 20    VPINSRB             Vdq,Hdq,Ry/Mb,Ib  AVX512BW l0 vex
EVEX.66 0F 3A 21    VINSERTPS           Vdq,Hdq,Wd,Ib     AVX512F w0 l0 vex
EVEX.66 0F 3A 22    VPINSRD/VPINSRQ     Vdq,Hdq,Ey,Ib     AVX512DQ l0 vex
EVEX.66 0F 3A 23    VSHUFF32X4          Vx,Hx,Wx,Ib       AVX512F w0 l12 kz whole bd
EVEX.66 0F 3A 23    VSHUFF64X2          Vx,Hx,Wx,Ib       AVX512F w1 l12 kz whole bq
EVEX.66 0F 3A 25    VPTERNLOGD          Vx,Hx,Wx,Ib       AVX512F w0 kz bd
EVEX.66 0F 3A 25    VPTERNLOGQ          Vx,Hx,Wx,Ib       AVX512F w1 kz bq
EVEX.NP 0F 3A 26    VGETMANTPH          Vx,Wx,Ib          AVX512_FP16 w0 kz bw sae
EVEX.66 0F 3A 26    VGETMANTPS          Vx,Wx,Ib          AVX512F w0 kz bd sae
EVEX.66 0F 3A 26    VGETMANTPD          Vx,Wx,Ib          AVX512F w1 kz bq sae
EVEX.NP 0F 3A 27    VGETMANTSH          Vdq,Hdq,Ww,Ib     AVX512_FP16 w0 kz sae
EVEX.66 0F 3A 27    VGETMANTSS          Vdq,Hdq,Wd,Ib     AVX512F w0 kz sae
EVEX.66 0F 3A 27    VGETMANTSD          Vdq,Hdq,Wq,Ib     AVX512F w1 kz sae
EVEX.66 0F 3A 38    VINSERTI32X4        Vx,Hx,Wdq,Ib      AVX512F w0 l12 kz whole
EVEX.66 0F 3A 38    VINSERTI64X2        Vx,Hx,Wdq,Ib      AVX512DQ w1 l12 kz whole
EVEX.66 0F 3A 39    VEXTRACTI32X4       Wdq,Vx,Ib         AVX512F w0 l12 kz whole
EVEX.66 0F 3A 39    VEXTRACTI64X2       Wdq,Vx,Ib         AVX512DQ w1 l12 kz whole
EVEX.66 0F 3A 3A    VINSERTI32X8        Voq,Hoq,Wqq,Ib    AVX512DQ w0 l2 kz whole
EVEX.66 0F 3A 3A    VINSERTI64X4        Voq,Hoq,Wqq,Ib    AVX512F w1 l2 kz whole
EVEX.66 0F 3A 3B    VEXTRACTI32X8       Wqq,Voq,Ib        AVX512DQ w0 l2 kz whole
EVEX.66 0F 3A 3B    VEXTRACTI64X4       Wqq,Voq,Ib        AVX512F w1 l2 kz whole
EVEX.66 0F 3A 3E    VPCMPUB             kG,Hx,Wx,Ib       AVX512BW w0 k
EVEX.66 0F 3A 3E    VPCMPUW             kG,Hx,Wx,Ib       AVX512BW w1 k
EVEX.66 0F 3A 3F    VPCMPB              kG,Hx,Wx,Ib       AVX512BW w0 k
EVEX.66 0F 3A 3F    VPCMPW              kG,Hx,Wx,Ib       AVX512BW w1 k
EVEX.66 0F 3A 42    VDBPSADBW           Vx,Hx,Wx,Ib       AVX512BW w0 kz whole
EVEX.66 0F 3A 43    VSHUFI32X4          Vx,Hx,Wx,Ib       AVX512F w0 l12 kz whole bd
EVEX.66 0F 3A 43    VSHUFI64X2          Vx,Hx,Wx,Ib       AVX512F w1 l12 kz whole bq
EVEX.66 0F 3A 44    VPCLMULQDQ          Vx,Hx,Wx,Ib       AVX512F+VPCLMULQDQ vex
EVEX.66 0F 3A 50    VRANGEPS            Vx,Hx,Wx,Ib       AVX512DQ w0 kz bd sae
EVEX.66 0F 3A 50    VRANGEPD            Vx,Hx,Wx,Ib       AVX512DQ w1 kz bq sae
EVEX.66 0F 3A 51    VRANGESS            Vdq,Hdq,Wd,Ib     AVX512DQ w0 kz sae
EVEX.66 0F 3A 51    VRANGESD            Vdq,Hdq,Wq,Ib     AVX512DQ w1 kz sae
EVEX.66 0F 3A 54    VFIXUPIMMPS         Vx,Hx,Wx,Ib       AVX512F w0 kz bd sae
EVEX.66 0F 3A 54    VFIXUPIMMPD         Vx,Hx,Wx,Ib       AVX512F w1 kz bq sae
EVEX.66 0F 3A 55    VFIXUPIMMSS         Vdq,Hdq,Wd,Ib     AVX512F w0 kz sae
EVEX.66 0F 3A 55    VFIXUPIMMSD         Vdq,Hdq,Wq,Ib     AVX512F w1 kz sae
EVEX.NP 0F 3A 56    VREDUCEPH           Vx,Wx,Ib          AVX512_FP16 w0 kz bw sae
EVEX.66 0F 3A 56    VREDUCEPS           Vx,Wx,Ib          AVX512DQ w0 kz bd sae
EVEX.66 0F 3A 56    VREDUCEPD           Vx,Wx,Ib          AVX512DQ w1 kz bq sae
EVEX.NP 0F 3A 57    VREDUCESH           Vdq,Hdq,Ww,Ib     AVX512_FP16 w0 kz sae
EVEX.66 0F 3A 57    VREDUCESS           Vdq,Hdq,Wd,Ib     AVX512DQ w0 kz sae
EVEX.66 0F 3A 57    VREDUCESD           Vdq,Hdq,Wq,Ib     AVX512DQ w1 kz sae
EVEX.NP 0F 3A 66    VFPCLASSPH          kG,Wx,Ib          AVX512_FP16 w0 k bw
EVEX.66 0F 3A 66    VFPCLASSPS          kG,Wx,Ib          AVX512DQ w0 k bd
EVEX.66 0F 3A 66    VFPCLASSPD          kG,Wx,Ib          AVX512DQ w1 k bq
EVEX.NP 0F 3A 67    VFPCLASSSH          kG,Ww,Ib          AVX512_FP16 w0 k
EVEX.66 0F 3A 67    VFPCLASSSS          kG,Wd,Ib          AVX512DQ w0 k
EVEX.66 0F 3A 67    VFPCLASSSD          kG,Wq,Ib          AVX512DQ w1 k
EVEX.66 0F 3A 70    VPSHLDW             Vx,Hx,Wx,Ib       AVX512_VBMI2 w1 kz
EVEX.66 0F 3A 71    VPSHLDD             Vx,Hx,Wx,Ib       AVX512_VBMI2 w0 kz bd
EVEX.66 0F 3A 71    VPSHLDQ             Vx,Hx,Wx,Ib       AVX512_VBMI2 w1 kz bq
EVEX.66 0F 3A 72    VPSHRDW             Vx,Hx,Wx,Ib       AVX512_VBMI2 w1 kz
EVEX.66 0F 3A 73    VPSHRDD             Vx,Hx,Wx,Ib       AVX512_VBMI2 w0 kz bd
EVEX.66 0F 3A 73    VPSHRDQ             Vx,Hx,Wx,Ib       AVX512_VBMI2 w1 kz bq
EVEX.NP 0F 3A C2    VCMPPH              kG,Hx,Wx,Ib       AVX512_FP16 w0 k bw sae
EVEX.F3 0F 3A C2    VCMPSH              kG,Hdq,Ww,Ib      AVX512_FP16 w0 k sae
EVEX.66 0F 3A CE    VGF2P8AFFINEQB      Vx,Hx,Wx,Ib       AVX512F+GFNI w1 kz whole bq vex
EVEX.66 0F 3A CF    VGF2P8AFFINEINVQB   Vx,Hx,Wx,Ib       AVX512F+GFNI w1 kz whole bq vex
`
