/**
 * AVX-512 instructions of EVEX map 3 (0F 3A).
 *
 * Source: Intel SDM vol. 2A to 2C, each instruction's page; vol. 2A, "Intel AVX-512 Encoding".
 */
export const evex0f3aRows: string = `
EVEX.66 0F 3A 00    VPERMQ              Vx,Wx,Ib          AVX512F E4NF w1 l12 kz bq vex
EVEX.66 0F 3A 01    VPERMPD             Vx,Wx,Ib          AVX512F E4NF w1 l12 kz bq as=VPERMQ vex
EVEX.66 0F 3A 03    VALIGND             Vx,Hx,Wx,Ib       AVX512F E4NF w0 kz bd
EVEX.66 0F 3A 03    VALIGNQ             Vx,Hx,Wx,Ib       AVX512F E4NF w1 kz bq
EVEX.NP 0F 3A 08    VRNDSCALEPH         Vx,Wx,Ib          AVX512_FP16 E2 w0 kz bw sae
EVEX.66 0F 3A 08    VRNDSCALEPS         Vx,Wx,Ib          AVX512F E2 w0 kz bd sae
EVEX.66 0F 3A 09    VRNDSCALEPD         Vx,Wx,Ib          AVX512F E2 w1 kz bq sae
EVEX.NP 0F 3A 0A    VRNDSCALESH         Vdq,Hdq,Ww,Ib     AVX512_FP16 E3 w0 kz e2 sae
EVEX.66 0F 3A 0A    VRNDSCALESS         Vdq,Hdq,Wd,Ib     AVX512F E3 w0 kz e4 sae
EVEX.66 0F 3A 0B    VRNDSCALESD         Vdq,Hdq,Wq,Ib     AVX512F E3 w1 kz e8 sae
EVEX.66 0F 3A 18    VINSERTF32X4        Vx,Hx,Wdq,Ib      AVX512F E6NF w0 l12 kz e4 as=VINSERTF128
EVEX.66 0F 3A 18    VINSERTF64X2        Vx,Hx,Wdq,Ib      AVX512DQ E6NF w1 l12 kz e8 as=VINSERTF128
EVEX.66 0F 3A 19    VEXTRACTF32X4       Wdq,Vx,Ib         AVX512F E6NF w0 l12 kz e4 as=VEXTRACTF128
EVEX.66 0F 3A 19    VEXTRACTF64X2       Wdq,Vx,Ib         AVX512DQ E6NF w1 l12 kz e8 as=VEXTRACTF128
EVEX.66 0F 3A 1A    VINSERTF32X8        Voq,Hoq,Wqq,Ib    AVX512DQ E6NF w0 l2 kz e4 as=VINSERTF128
EVEX.66 0F 3A 1A    VINSERTF64X4        Voq,Hoq,Wqq,Ib    AVX512F E6NF w1 l2 kz e8 as=VINSERTF128
EVEX.66 0F 3A 1B    VEXTRACTF32X8       Wqq,Voq,Ib        AVX512DQ E6NF w0 l2 kz e4 as=VEXTRACTF128
EVEX.66 0F 3A 1B    VEXTRACTF64X4       Wqq,Voq,Ib        AVX512F E6NF w1 l2 kz e8 as=VEXTRACTF128
EVEX.66 0F 3A 1E    VPCMPUD             kG,Hx,Wx,Ib       AVX512F E4 w0 k bd
EVEX.66 0F 3A 1E    VPCMPUQ             kG,Hx,Wx,Ib       AVX512F E4 w1 k bq
EVEX.66 0F 3A 1F    VPCMPD              kG,Hx,Wx,Ib       AVX512F E4 w0 k bd
EVEX.66 0F 3A 1F    VPCMPQ              kG,Hx,Wx,Ib       AVX512F E4 w1 k bq
EVEX.66 0F 3A 23    VSHUFF32X4          Vx,Hx,Wx,Ib       AVX512F E4NF w0 l12 kz bd
EVEX.66 0F 3A 23    VSHUFF64X2          Vx,Hx,Wx,Ib       AVX512F E4NF w1 l12 kz bq as=VSHUFF32X4
EVEX.66 0F 3A 25    VPTERNLOGD          Vx,Hx,Wx,Ib       AVX512F E4 w0 kz bd
EVEX.66 0F 3A 25    VPTERNLOGQ          Vx,Hx,Wx,Ib       AVX512F E4 w1 kz bq
EVEX.NP 0F 3A 26    VGETMANTPH          Vx,Wx,Ib          AVX512_FP16 E2 w0 kz bw sae
EVEX.66 0F 3A 26    VGETMANTPS          Vx,Wx,Ib          AVX512F E2 w0 kz bd sae
EVEX.66 0F 3A 26    VGETMANTPD          Vx,Wx,Ib          AVX512F E2 w1 kz bq sae
EVEX.NP 0F 3A 27    VGETMANTSH          Vdq,Hdq,Ww,Ib     AVX512_FP16 E3 w0 kz e2 sae
EVEX.66 0F 3A 27    VGETMANTSS          Vdq,Hdq,Wd,Ib     AVX512F E3 w0 kz e4 sae
EVEX.66 0F 3A 27    VGETMANTSD          Vdq,Hdq,Wq,Ib     AVX512F E3 w1 kz e8 sae
EVEX.66 0F 3A 38    VINSERTI32X4        Vx,Hx,Wdq,Ib      AVX512F E6NF w0 l12 kz e4 as=VINSERTF128
EVEX.66 0F 3A 38    VINSERTI64X2        Vx,Hx,Wdq,Ib      AVX512DQ E6NF w1 l12 kz e8 as=VINSERTF128
EVEX.66 0F 3A 39    VEXTRACTI32X4       Wdq,Vx,Ib         AVX512F E6NF w0 l12 kz e4 as=VEXTRACTF128
EVEX.66 0F 3A 39    VEXTRACTI64X2       Wdq,Vx,Ib         AVX512DQ E6NF w1 l12 kz e8 as=VEXTRACTF128
EVEX.66 0F 3A 3A    VINSERTI32X8        Voq,Hoq,Wqq,Ib    AVX512DQ E6NF w0 l2 kz e4 as=VINSERTF128
EVEX.66 0F 3A 3A    VINSERTI64X4        Voq,Hoq,Wqq,Ib    AVX512F E6NF w1 l2 kz e8 as=VINSERTF128
EVEX.66 0F 3A 3B    VEXTRACTI32X8       Wqq,Voq,Ib        AVX512DQ E6NF w0 l2 kz e4 as=VEXTRACTF128
EVEX.66 0F 3A 3B    VEXTRACTI64X4       Wqq,Voq,Ib        AVX512F E6NF w1 l2 kz e8 as=VEXTRACTF128
EVEX.66 0F 3A 3E    VPCMPUB             kG,Hx,Wx,Ib       AVX512BW E4 w0 k e1
EVEX.66 0F 3A 3E    VPCMPUW             kG,Hx,Wx,Ib       AVX512BW E4 w1 k e2
EVEX.66 0F 3A 3F    VPCMPB              kG,Hx,Wx,Ib       AVX512BW E4 w0 k e1
EVEX.66 0F 3A 3F    VPCMPW              kG,Hx,Wx,Ib       AVX512BW E4 w1 k e2
EVEX.66 0F 3A 42    VDBPSADBW           Vx,Hx,Wx,Ib       AVX512BW E4NF w0 kz e2
EVEX.66 0F 3A 43    VSHUFI32X4          Vx,Hx,Wx,Ib       AVX512F E4NF w0 l12 kz bd as=VSHUFF32X4
EVEX.66 0F 3A 43    VSHUFI64X2          Vx,Hx,Wx,Ib       AVX512F E4NF w1 l12 kz bq as=VSHUFF32X4
EVEX.66 0F 3A 50    VRANGEPS            Vx,Hx,Wx,Ib       AVX512DQ E2 w0 kz bd sae
EVEX.66 0F 3A 50    VRANGEPD            Vx,Hx,Wx,Ib       AVX512DQ E2 w1 kz bq sae
EVEX.66 0F 3A 51    VRANGESS            Vdq,Hdq,Wd,Ib     AVX512DQ E3 w0 kz e4 sae
EVEX.66 0F 3A 51    VRANGESD            Vdq,Hdq,Wq,Ib     AVX512DQ E3 w1 kz e8 sae
EVEX.66 0F 3A 54    VFIXUPIMMPS         Vx,Hx,Wx,Ib       AVX512F E2 w0 kz bd sae
EVEX.66 0F 3A 54    VFIXUPIMMPD         Vx,Hx,Wx,Ib       AVX512F E2 w1 kz bq sae
EVEX.66 0F 3A 55    VFIXUPIMMSS         Vdq,Hdq,Wd,Ib     AVX512F E3 w0 kz e4 sae
EVEX.66 0F 3A 55    VFIXUPIMMSD         Vdq,Hdq,Wq,Ib     AVX512F E3 w1 kz e8 sae
EVEX.NP 0F 3A 56    VREDUCEPH           Vx,Wx,Ib          AVX512_FP16 E2 w0 kz bw sae
EVEX.66 0F 3A 56    VREDUCEPS           Vx,Wx,Ib          AVX512DQ E2 w0 kz bd sae
EVEX.66 0F 3A 56    VREDUCEPD           Vx,Wx,Ib          AVX512DQ E2 w1 kz bq sae
EVEX.NP 0F 3A 57    VREDUCESH           Vdq,Hdq,Ww,Ib     AVX512_FP16 E3 w0 kz e2 sae
EVEX.66 0F 3A 57    VREDUCESS           Vdq,Hdq,Wd,Ib     AVX512DQ E3 w0 kz e4 sae
EVEX.66 0F 3A 57    VREDUCESD           Vdq,Hdq,Wq,Ib     AVX512DQ E3 w1 kz e8 sae
EVEX.NP 0F 3A 66    VFPCLASSPH          kG,Wx,Ib          AVX512_FP16 E4 w0 k bw
EVEX.66 0F 3A 66    VFPCLASSPS          kG,Wx,Ib          AVX512DQ E4 w0 k bd
EVEX.66 0F 3A 66    VFPCLASSPD          kG,Wx,Ib          AVX512DQ E4 w1 k bq
EVEX.NP 0F 3A 67    VFPCLASSSH          kG,Ww,Ib          AVX512_FP16 E10 w0 k e2
EVEX.66 0F 3A 67    VFPCLASSSS          kG,Wd,Ib          AVX512DQ E10 w0 k e4
EVEX.66 0F 3A 67    VFPCLASSSD          kG,Wq,Ib          AVX512DQ E10 w1 k e8
EVEX.66 0F 3A 70    VPSHLDW             Vx,Hx,Wx,Ib       AVX512_VBMI2 E4 w1 kz e2
EVEX.66 0F 3A 71    VPSHLDD             Vx,Hx,Wx,Ib       AVX512_VBMI2 E4 w0 kz bd
EVEX.66 0F 3A 71    VPSHLDQ             Vx,Hx,Wx,Ib       AVX512_VBMI2 E4 w1 kz bq
EVEX.66 0F 3A 72    VPSHRDW             Vx,Hx,Wx,Ib       AVX512_VBMI2 E4 w1 kz e2
EVEX.66 0F 3A 73    VPSHRDD             Vx,Hx,Wx,Ib       AVX512_VBMI2 E4 w0 kz bd
EVEX.66 0F 3A 73    VPSHRDQ             Vx,Hx,Wx,Ib       AVX512_VBMI2 E4 w1 kz bq
EVEX.NP 0F 3A C2    VCMPPH              kG,Hx,Wx,Ib       AVX512_FP16 E2 w0 k bw sae
EVEX.F3 0F 3A C2    VCMPSH              kG,Hdq,Ww,Ib      AVX512_FP16 E3 w0 k e2 sae
`
