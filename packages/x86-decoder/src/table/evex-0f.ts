/**
 * AVX-512 instructions of EVEX map 1 (0F).
 *
 * Source: Intel SDM vol. 2A to 2C, each instruction's page; vol. 2A, "Intel AVX-512 Encoding".
 */
export const evex0fRows: string = `
EVEX.F2 0F 12       VMOVDDUP            Vx,Wx             AVX512F E5NF w1 l12 kz e8 vex
EVEX.66 0F 5A       VCVTPD2PS           Vhx,Wx            AVX512F E2 w1 kz e4 bq er vex
EVEX.NP 0F 5B       VCVTQQ2PS           Vhx,Wx            AVX512DQ E2 w1 kz e4 bq er
EVEX.66 0F 64       VPCMPGTB            kG,Hx,Wx          AVX512BW E4 k e1
EVEX.66 0F 65       VPCMPGTW            kG,Hx,Wx          AVX512BW E4 k e2
EVEX.66 0F 66       VPCMPGTD            kG,Hx,Wx          AVX512F E4 w0 k bd
EVEX.66 0F 6F       VMOVDQA32           Vx,Wx             AVX512F E1 w0 kz e4 as=VMOVAPS
EVEX.66 0F 6F       VMOVDQA64           Vx,Wx             AVX512F E1 w1 kz e8 as=VMOVAPS
EVEX.F3 0F 6F       VMOVDQU32           Vx,Wx             AVX512F E4 w0 kz e4 as=VMOVUPS
EVEX.F3 0F 6F       VMOVDQU64           Vx,Wx             AVX512F E4 w1 kz e8 as=VMOVUPS
EVEX.F2 0F 6F       VMOVDQU8            Vx,Wx             AVX512BW E4 w0 kz e1 as=VMOVUPS
EVEX.F2 0F 6F       VMOVDQU16           Vx,Wx             AVX512BW E4 w1 kz e2 as=VMOVUPS
EVEX.66 0F 71 /2    VPSRLW              Hx,Wx,Ib          AVX512BW E4 kz e2 vex
EVEX.66 0F 71 /4    VPSRAW              Hx,Wx,Ib          AVX512BW E4 kz e2 vex
EVEX.66 0F 71 /6    VPSLLW              Hx,Wx,Ib          AVX512BW E4 kz e2 vex
EVEX.66 0F 72 /0    VPRORD              Hx,Wx,Ib          AVX512F E4 w0 kz bd
EVEX.66 0F 72 /0    VPRORQ              Hx,Wx,Ib          AVX512F E4 w1 kz bq
EVEX.66 0F 72 /1    VPROLD              Hx,Wx,Ib          AVX512F E4 w0 kz bd
EVEX.66 0F 72 /1    VPROLQ              Hx,Wx,Ib          AVX512F E4 w1 kz bq
EVEX.66 0F 72 /2    VPSRLD              Hx,Wx,Ib          AVX512F E4 w0 kz bd vex
EVEX.66 0F 72 /4    VPSRAD              Hx,Wx,Ib          AVX512F E4 w0 kz bd vex
EVEX.66 0F 72 /4    VPSRAQ              Hx,Wx,Ib          AVX512F E4 w1 kz bq
EVEX.66 0F 72 /6    VPSLLD              Hx,Wx,Ib          AVX512F E4 w0 kz bd vex
EVEX.66 0F 73 /2    VPSRLQ              Hx,Wx,Ib          AVX512F E4 w1 kz bq vex
EVEX.66 0F 73 /3    VPSRLDQ             Hx,Wx,Ib          AVX512BW E4NF vex
EVEX.66 0F 73 /6    VPSLLQ              Hx,Wx,Ib          AVX512F E4 w1 kz bq vex
EVEX.66 0F 73 /7    VPSLLDQ             Hx,Wx,Ib          AVX512BW E4NF vex
EVEX.66 0F 74       VPCMPEQB            kG,Hx,Wx          AVX512BW E4 k e1
EVEX.66 0F 75       VPCMPEQW            kG,Hx,Wx          AVX512BW E4 k e2
EVEX.66 0F 76       VPCMPEQD            kG,Hx,Wx          AVX512F E4 w0 k bd
EVEX.NP 0F 78       VCVTTPS2UDQ         Vx,Wx             AVX512F E2 w0 kz bd sae
EVEX.NP 0F 78       VCVTTPD2UDQ         Vhx,Wx            AVX512F E2 w1 kz e4 bq sae
EVEX.66 0F 78       VCVTTPS2UQQ         Vx,Whx            AVX512DQ E3 w0 kz e8 bd sae
EVEX.66 0F 78       VCVTTPD2UQQ         Vx,Wx             AVX512DQ E2 w1 kz bq sae
EVEX.F3 0F 78       VCVTTSS2USI         Gy,Wd             AVX512F E3NF sae
EVEX.F2 0F 78       VCVTTSD2USI         Gy,Wq             AVX512F E3NF sae
EVEX.NP 0F 79       VCVTPS2UDQ          Vx,Wx             AVX512F E2 w0 kz bd er
EVEX.NP 0F 79       VCVTPD2UDQ          Vhx,Wx            AVX512F E2 w1 kz e4 bq er
EVEX.66 0F 79       VCVTPS2UQQ          Vx,Whx            AVX512DQ E3 w0 kz e8 bd er
EVEX.66 0F 79       VCVTPD2UQQ          Vx,Wx             AVX512DQ E2 w1 kz bq er
EVEX.F3 0F 79       VCVTSS2USI          Gy,Wd             AVX512F E3NF er
EVEX.F2 0F 79       VCVTSD2USI          Gy,Wq             AVX512F E3NF er
EVEX.66 0F 7A       VCVTTPS2QQ          Vx,Whx            AVX512DQ E3 w0 kz e8 bd sae
EVEX.66 0F 7A       VCVTTPD2QQ          Vx,Wx             AVX512DQ E2 w1 kz bq sae
EVEX.F3 0F 7A       VCVTUDQ2PD          Vx,Whx            AVX512F E5 w0 kz e8 bd er
EVEX.F3 0F 7A       VCVTUQQ2PD          Vx,Wx             AVX512DQ E2 w1 kz bq er
EVEX.F2 0F 7A       VCVTUDQ2PS          Vx,Wx             AVX512F E2 w0 kz bd er
EVEX.F2 0F 7A       VCVTUQQ2PS          Vhx,Wx            AVX512DQ E2 w1 kz e4 bq er
EVEX.66 0F 7B       VCVTPS2QQ           Vx,Whx            AVX512DQ E3 w0 kz e8 bd er
EVEX.66 0F 7B       VCVTPD2QQ           Vx,Wx             AVX512DQ E2 w1 kz bq er
EVEX.F3 0F 7B       VCVTUSI2SS          Vdq,Hdq,Ey        AVX512F E3NF er
EVEX.F2 0F 7B       VCVTUSI2SD          Vdq,Hdq,Ey        AVX512F E3NF er
EVEX.66 0F 7F       VMOVDQA32           Wx,Vx             AVX512F E1 w0 kz e4 as=VMOVAPS
EVEX.66 0F 7F       VMOVDQA64           Wx,Vx             AVX512F E1 w1 kz e8 as=VMOVAPS
EVEX.F3 0F 7F       VMOVDQU32           Wx,Vx             AVX512F E4 w0 kz e4 as=VMOVUPS
EVEX.F3 0F 7F       VMOVDQU64           Wx,Vx             AVX512F E4 w1 kz e8 as=VMOVUPS
EVEX.F2 0F 7F       VMOVDQU8            Wx,Vx             AVX512BW E4 w0 kz e1 as=VMOVUPS
EVEX.F2 0F 7F       VMOVDQU16           Wx,Vx             AVX512BW E4 w1 kz e2 as=VMOVUPS
EVEX.NP 0F C2       VCMPPS              kG,Hx,Wx,Ib       AVX512F E2 w0 k bd sae
EVEX.66 0F C2       VCMPPD              kG,Hx,Wx,Ib       AVX512F E2 w1 k bq sae
EVEX.F3 0F C2       VCMPSS              kG,Hdq,Wd,Ib      AVX512F E3 w0 k e4 sae
EVEX.F2 0F C2       VCMPSD              kG,Hdq,Wq,Ib      AVX512F E3 w1 k e8 sae
EVEX.66 0F DB       VPANDD              Vx,Hx,Wx          AVX512F E4 w0 kz bd as=VPAND
EVEX.66 0F DB       VPANDQ              Vx,Hx,Wx          AVX512F E4 w1 kz bq as=VPAND
EVEX.66 0F DF       VPANDND             Vx,Hx,Wx          AVX512F E4 w0 kz bd as=VPANDN
EVEX.66 0F DF       VPANDNQ             Vx,Hx,Wx          AVX512F E4 w1 kz bq as=VPANDN
EVEX.66 0F E2       VPSRAQ              Vx,Hx,Wdq         AVX512F E4NF w1 kz e8
EVEX.66 0F E6       VCVTTPD2DQ          Vhx,Wx            AVX512F E2 w1 kz e4 bq sae vex
EVEX.F3 0F E6       VCVTQQ2PD           Vx,Wx             AVX512DQ E2 w1 kz bq er
EVEX.F2 0F E6       VCVTPD2DQ           Vhx,Wx            AVX512F E2 w1 kz e4 bq er vex
EVEX.66 0F EB       VPORD               Vx,Hx,Wx          AVX512F E4 w0 kz bd as=VPOR
EVEX.66 0F EB       VPORQ               Vx,Hx,Wx          AVX512F E4 w1 kz bq as=VPOR
EVEX.66 0F EF       VPXORD              Vx,Hx,Wx          AVX512F E4 w0 kz bd as=VPXOR
EVEX.66 0F EF       VPXORQ              Vx,Hx,Wx          AVX512F E4 w1 kz bq as=VPXOR
`
