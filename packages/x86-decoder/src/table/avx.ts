/**
 * AVX, AVX2, FMA, F16C and the later VEX-encoded vector instructions, FMA4, CMPccXADD.
 *
 * Source: Intel SDM vol. 2D, Appendix A, "Two-byte Opcode Map", "Three-byte Opcode Map", rows with superscript (v); AMD APM
 * vol. 4 for FMA4.
 */
export const avxRows: string = `
VEX.NP 0F 10        VMOVUPS               Vx,Wx             AVX                  AVX512F E4 w0 kz e4
VEX.66 0F 10        VMOVUPD               Vx,Wx             AVX as=VMOVUPS       AVX512F E4 w1 kz e8
VEX.F3 0F 10        VMOVSS                Vdq,Md            AVX                  AVX512F E10 w0 kz e4
VEX.F3 0F 10        VMOVSS                Vdq,Hdq,Udq       AVX                  AVX512F E10 w0 kz e4
VEX.F2 0F 10        VMOVSD                Vdq,Mq            AVX                  AVX512F E10 w1 kz e8
VEX.F2 0F 10        VMOVSD                Vdq,Hdq,Udq       AVX                  AVX512F E10 w1 kz e8
VEX.NP 0F 11        VMOVUPS               Wx,Vx             AVX                  AVX512F E4 w0 kz e4
VEX.66 0F 11        VMOVUPD               Wx,Vx             AVX as=VMOVUPS       AVX512F E4 w1 kz e8
VEX.F3 0F 11        VMOVSS                Md,Vdq            AVX                  AVX512F E10 w0 k e4
VEX.F3 0F 11        VMOVSS                Udq,Hdq,Vdq       AVX                  AVX512F E10 w0 kz e4
VEX.F2 0F 11        VMOVSD                Mq,Vdq            AVX                  AVX512F E10 w1 k e8
VEX.F2 0F 11        VMOVSD                Udq,Hdq,Vdq       AVX                  AVX512F E10 w1 kz e8
VEX.F3 0F 12        VMOVSLDUP             Vx,Wx             AVX                  AVX512F E4NF w0 kz e4
VEX.NP 0F 12        VMOVHLPS              Vdq,Hdq,Udq       AVX l0               AVX512F E7NM w0 l0
VEX.NP 0F 12        VMOVLPS               Vdq,Hdq,Mq        AVX l0               AVX512F E9NF w0 l0
VEX.66 0F 12        VMOVLPD               Vdq,Hdq,Mq        AVX l0 as=VMOVLPS    AVX512F E9NF w1 l0
VEX.F2 0F 12        VMOVDDUP              Vdq,Wq            AVX l0               AVX512F+AVX512VL E5NF w1 l0 kz e8
VEX.F2 0F 12        VMOVDDUP              Vqq,Wqq           AVX l1
VEX.NP 0F 13        VMOVLPS               Mq,Vdq            AVX l0               AVX512F E9NF w0 l0
VEX.66 0F 13        VMOVLPD               Mq,Vdq            AVX l0 as=VMOVLPS    AVX512F E9NF w1 l0
VEX.NP 0F 14        VUNPCKLPS             Vx,Hx,Wx          AVX as=VPUNPCKLDQ    AVX512F E4NF w0 kz bd
VEX.66 0F 14        VUNPCKLPD             Vx,Hx,Wx          AVX as=VPUNPCKLQDQ   AVX512F E4NF w1 kz bq
VEX.NP 0F 15        VUNPCKHPS             Vx,Hx,Wx          AVX as=VPUNPCKHDQ    AVX512F E4NF w0 kz bd
VEX.66 0F 15        VUNPCKHPD             Vx,Hx,Wx          AVX as=VPUNPCKHQDQ   AVX512F E4NF w1 kz bq
VEX.F3 0F 16        VMOVSHDUP             Vx,Wx             AVX                  AVX512F E4NF w0 kz e4
VEX.NP 0F 16        VMOVLHPS              Vdq,Hdq,Udq       AVX l0               AVX512F E7NM w0 l0
VEX.NP 0F 16        VMOVHPS               Vdq,Hdq,Mq        AVX l0               AVX512F E9NF w0 l0
VEX.66 0F 16        VMOVHPD               Vdq,Hdq,Mq        AVX l0 as=VMOVHPS    AVX512F E9NF w1 l0
VEX.NP 0F 17        VMOVHPS               Mq,Vdq            AVX l0               AVX512F E9NF w0 l0
VEX.66 0F 17        VMOVHPD               Mq,Vdq            AVX l0 as=VMOVHPS    AVX512F E9NF w1 l0
VEX.NP 0F 28        VMOVAPS               Vx,Wx             AVX                  AVX512F E1 w0 kz e4
VEX.66 0F 28        VMOVAPD               Vx,Wx             AVX as=VMOVAPS       AVX512F E1 w1 kz e8
VEX.NP 0F 29        VMOVAPS               Wx,Vx             AVX                  AVX512F E1 w0 kz e4
VEX.66 0F 29        VMOVAPD               Wx,Vx             AVX as=VMOVAPS       AVX512F E1 w1 kz e8
VEX.F3 0F 2A        VCVTSI2SS             Vdq,Hdq,Ey        AVX                  AVX512F E3NF er
VEX.F2 0F 2A        VCVTSI2SD             Vdq,Hdq,Ey        AVX                  AVX512F E3NF er
VEX.NP 0F 2B        VMOVNTPS              Mx,Vx             AVX as=VMOVAPS       AVX512F E1NF w0
VEX.66 0F 2B        VMOVNTPD              Mx,Vx             AVX as=VMOVAPS       AVX512F E1NF w1
VEX.F3 0F 2C        VCVTTSS2SI            Gy,Wd             AVX                  AVX512F E3NF sae
VEX.F2 0F 2C        VCVTTSD2SI            Gy,Wq             AVX                  AVX512F E3NF sae
VEX.F3 0F 2D        VCVTSS2SI             Gy,Wd             AVX                  AVX512F E3NF er
VEX.F2 0F 2D        VCVTSD2SI             Gy,Wq             AVX                  AVX512F E3NF er
VEX.NP 0F 2E        VUCOMISS              Vdq,Wd            AVX                  AVX512F E3NF w0 sae
VEX.66 0F 2E        VUCOMISD              Vdq,Wq            AVX                  AVX512F E3NF w1 sae
VEX.NP 0F 2F        VCOMISS               Vdq,Wd            AVX                  AVX512F E3NF w0 sae
VEX.66 0F 2F        VCOMISD               Vdq,Wq            AVX                  AVX512F E3NF w1 sae
VEX.NP 0F 50        VMOVMSKPS             Gy,Udq            AVX l0
VEX.NP 0F 50        VMOVMSKPS             Gy,Uqq            AVX l1
VEX.66 0F 50        VMOVMSKPD             Gy,Udq            AVX l0
VEX.66 0F 50        VMOVMSKPD             Gy,Uqq            AVX l1
VEX.NP 0F 51        VSQRTPS               Vx,Wx             AVX                  AVX512F E2 w0 kz bd er
VEX.66 0F 51        VSQRTPD               Vx,Wx             AVX                  AVX512F E2 w1 kz bq er
VEX.F3 0F 51        VSQRTSS               Vdq,Hdq,Wd        AVX                  AVX512F E3 w0 kz e4 er
VEX.F2 0F 51        VSQRTSD               Vdq,Hdq,Wq        AVX                  AVX512F E3 w1 kz e8 er
VEX.NP 0F 52        VRSQRTPS              Vx,Wx             AVX
VEX.F3 0F 52        VRSQRTSS              Vdq,Hdq,Wd        AVX
VEX.NP 0F 53        VRCPPS                Vx,Wx             AVX
VEX.F3 0F 53        VRCPSS                Vdq,Hdq,Wd        AVX
VEX.NP 0F 54        VANDPS                Vx,Hx,Wx          AVX as=VPAND         AVX512DQ E4 w0 kz bd
VEX.66 0F 54        VANDPD                Vx,Hx,Wx          AVX as=VPAND         AVX512DQ E4 w1 kz bq
VEX.NP 0F 55        VANDNPS               Vx,Hx,Wx          AVX as=VPANDN        AVX512DQ E4 w0 kz bd
VEX.66 0F 55        VANDNPD               Vx,Hx,Wx          AVX as=VPANDN        AVX512DQ E4 w1 kz bq
VEX.NP 0F 56        VORPS                 Vx,Hx,Wx          AVX as=VPOR          AVX512DQ E4 w0 kz bd
VEX.66 0F 56        VORPD                 Vx,Hx,Wx          AVX as=VPOR          AVX512DQ E4 w1 kz bq
VEX.NP 0F 57        VXORPS                Vx,Hx,Wx          AVX as=VPXOR         AVX512DQ E4 w0 kz bd
VEX.66 0F 57        VXORPD                Vx,Hx,Wx          AVX as=VPXOR         AVX512DQ E4 w1 kz bq
VEX.NP 0F 58        VADDPS                Vx,Hx,Wx          AVX                  AVX512F E2 w0 kz bd er
VEX.66 0F 58        VADDPD                Vx,Hx,Wx          AVX                  AVX512F E2 w1 kz bq er
VEX.F3 0F 58        VADDSS                Vdq,Hdq,Wd        AVX                  AVX512F E3 w0 kz e4 er
VEX.F2 0F 58        VADDSD                Vdq,Hdq,Wq        AVX                  AVX512F E3 w1 kz e8 er
VEX.NP 0F 59        VMULPS                Vx,Hx,Wx          AVX                  AVX512F E2 w0 kz bd er
VEX.66 0F 59        VMULPD                Vx,Hx,Wx          AVX                  AVX512F E2 w1 kz bq er
VEX.F3 0F 59        VMULSS                Vdq,Hdq,Wd        AVX                  AVX512F E3 w0 kz e4 er
VEX.F2 0F 59        VMULSD                Vdq,Hdq,Wq        AVX                  AVX512F E3 w1 kz e8 er
VEX.F3 0F 5A        VCVTSS2SD             Vdq,Hdq,Wd        AVX                  AVX512F E3 w0 kz e8 sae
VEX.F2 0F 5A        VCVTSD2SS             Vdq,Hdq,Wq        AVX                  AVX512F E3 w1 kz e4 er
VEX.NP 0F 5A        VCVTPS2PD             Vx,Whx            AVX                  AVX512F E3 w0 kz e8 bd sae
VEX.66 0F 5A        VCVTPD2PS             Vdq,Wx            AVX
VEX.NP 0F 5B        VCVTDQ2PS             Vx,Wx             AVX                  AVX512F E2 w0 kz bd er
VEX.66 0F 5B        VCVTPS2DQ             Vx,Wx             AVX                  AVX512F E2 w0 kz bd er
VEX.F3 0F 5B        VCVTTPS2DQ            Vx,Wx             AVX                  AVX512F E2 w0 kz bd sae
VEX.NP 0F 5C        VSUBPS                Vx,Hx,Wx          AVX                  AVX512F E2 w0 kz bd er
VEX.66 0F 5C        VSUBPD                Vx,Hx,Wx          AVX                  AVX512F E2 w1 kz bq er
VEX.F3 0F 5C        VSUBSS                Vdq,Hdq,Wd        AVX                  AVX512F E3 w0 kz e4 er
VEX.F2 0F 5C        VSUBSD                Vdq,Hdq,Wq        AVX                  AVX512F E3 w1 kz e8 er
VEX.NP 0F 5D        VMINPS                Vx,Hx,Wx          AVX                  AVX512F E2 w0 kz bd sae
VEX.66 0F 5D        VMINPD                Vx,Hx,Wx          AVX                  AVX512F E2 w1 kz bq sae
VEX.F3 0F 5D        VMINSS                Vdq,Hdq,Wd        AVX                  AVX512F E3 w0 kz e4 sae
VEX.F2 0F 5D        VMINSD                Vdq,Hdq,Wq        AVX                  AVX512F E3 w1 kz e8 sae
VEX.NP 0F 5E        VDIVPS                Vx,Hx,Wx          AVX                  AVX512F E2 w0 kz bd er
VEX.66 0F 5E        VDIVPD                Vx,Hx,Wx          AVX                  AVX512F E2 w1 kz bq er
VEX.F3 0F 5E        VDIVSS                Vdq,Hdq,Wd        AVX                  AVX512F E3 w0 kz e4 er
VEX.F2 0F 5E        VDIVSD                Vdq,Hdq,Wq        AVX                  AVX512F E3 w1 kz e8 er
VEX.NP 0F 5F        VMAXPS                Vx,Hx,Wx          AVX                  AVX512F E2 w0 kz bd sae
VEX.66 0F 5F        VMAXPD                Vx,Hx,Wx          AVX                  AVX512F E2 w1 kz bq sae
VEX.F3 0F 5F        VMAXSS                Vdq,Hdq,Wd        AVX                  AVX512F E3 w0 kz e4 sae
VEX.F2 0F 5F        VMAXSD                Vdq,Hdq,Wq        AVX                  AVX512F E3 w1 kz e8 sae
VEX.66 0F 60        VPUNPCKLBW            Vx,Hx,Wx          AVX/AVX2             AVX512BW E4NF kz e1
VEX.66 0F 61        VPUNPCKLWD            Vx,Hx,Wx          AVX/AVX2             AVX512BW E4NF kz e2
VEX.66 0F 62        VPUNPCKLDQ            Vx,Hx,Wx          AVX/AVX2             AVX512F E4NF w0 kz bd
VEX.66 0F 63        VPACKSSWB             Vx,Hx,Wx          AVX/AVX2             AVX512BW E4NF kz e1
VEX.66 0F 64        VPCMPGTB              Vx,Hx,Wx          AVX/AVX2
VEX.66 0F 65        VPCMPGTW              Vx,Hx,Wx          AVX/AVX2
VEX.66 0F 66        VPCMPGTD              Vx,Hx,Wx          AVX/AVX2
VEX.66 0F 67        VPACKUSWB             Vx,Hx,Wx          AVX/AVX2             AVX512BW E4NF kz e1
VEX.66 0F 68        VPUNPCKHBW            Vx,Hx,Wx          AVX/AVX2             AVX512BW E4NF kz e1
VEX.66 0F 69        VPUNPCKHWD            Vx,Hx,Wx          AVX/AVX2             AVX512BW E4NF kz e2
VEX.66 0F 6A        VPUNPCKHDQ            Vx,Hx,Wx          AVX/AVX2             AVX512F E4NF w0 kz bd
VEX.66 0F 6B        VPACKSSDW             Vx,Hx,Wx          AVX/AVX2             AVX512BW E4NF w0 kz e2 bd
VEX.66 0F 6C        VPUNPCKLQDQ           Vx,Hx,Wx          AVX/AVX2             AVX512F E4NF w1 kz bq
VEX.66 0F 6D        VPUNPCKHQDQ           Vx,Hx,Wx          AVX/AVX2             AVX512F E4NF w1 kz bq
VEX.66 0F 6E        VMOVD/VMOVQ           Vdq,Ey            AVX l0               AVX512F E9NF l0
VEX.66 0F 6F        VMOVDQA               Vx,Wx             AVX as=VMOVAPS
VEX.F3 0F 6F        VMOVDQU               Vx,Wx             AVX as=VMOVUPS
VEX.66 0F 70        VPSHUFD               Vx,Wx,Ib          AVX/AVX2             AVX512F E4NF w0 kz bd
VEX.F3 0F 70        VPSHUFHW              Vx,Wx,Ib          AVX/AVX2             AVX512BW E4NF kz e2
VEX.F2 0F 70        VPSHUFLW              Vx,Wx,Ib          AVX/AVX2             AVX512BW E4NF kz e2
VEX.66 0F 71 /2     VPSRLW                Hx,Ux,Ib          AVX/AVX2
VEX.66 0F 71 /4     VPSRAW                Hx,Ux,Ib          AVX/AVX2
VEX.66 0F 71 /6     VPSLLW                Hx,Ux,Ib          AVX/AVX2
VEX.66 0F 72 /2     VPSRLD                Hx,Ux,Ib          AVX/AVX2
VEX.66 0F 72 /4     VPSRAD                Hx,Ux,Ib          AVX/AVX2
VEX.66 0F 72 /6     VPSLLD                Hx,Ux,Ib          AVX/AVX2
VEX.66 0F 73 /2     VPSRLQ                Hx,Ux,Ib          AVX/AVX2
VEX.66 0F 73 /6     VPSLLQ                Hx,Ux,Ib          AVX/AVX2
VEX.66 0F 73 /3     VPSRLDQ               Hx,Ux,Ib          AVX/AVX2
VEX.66 0F 73 /7     VPSLLDQ               Hx,Ux,Ib          AVX/AVX2
VEX.66 0F 74        VPCMPEQB              Vx,Hx,Wx          AVX/AVX2
VEX.66 0F 75        VPCMPEQW              Vx,Hx,Wx          AVX/AVX2
VEX.66 0F 76        VPCMPEQD              Vx,Hx,Wx          AVX/AVX2
VEX.NP 0F 77        VZEROUPPER            -                 AVX l0
VEX.NP 0F 77        VZEROALL              -                 AVX l1
VEX.66 0F 7C        VHADDPD               Vx,Hx,Wx          AVX
VEX.F2 0F 7C        VHADDPS               Vx,Hx,Wx          AVX
VEX.66 0F 7D        VHSUBPD               Vx,Hx,Wx          AVX
VEX.F2 0F 7D        VHSUBPS               Vx,Hx,Wx          AVX
VEX.66 0F 7E        VMOVD/VMOVQ           Ey,Vdq            AVX l0               AVX512F E9NF l0
VEX.F3 0F 7E        VMOVQ                 Vdq,Wq            AVX l0               AVX512F E9NF w1 l0
VEX.66 0F 7F        VMOVDQA               Wx,Vx             AVX as=VMOVAPS
VEX.F3 0F 7F        VMOVDQU               Wx,Vx             AVX as=VMOVUPS
VEX.NP 0F AE /2     VLDMXCSR              Md                AVX l0
VEX.NP 0F AE /3     VSTMXCSR              Md                AVX l0
VEX.NP 0F C2        VCMPPS                Vx,Hx,Wx,Ib       AVX
VEX.66 0F C2        VCMPPD                Vx,Hx,Wx,Ib       AVX
VEX.F3 0F C2        VCMPSS                Vdq,Hdq,Wd,Ib     AVX
VEX.F2 0F C2        VCMPSD                Vdq,Hdq,Wq,Ib     AVX
VEX.66 0F C4        VPINSRW               Vdq,Hdq,Ry/Mw,Ib  AVX l0               AVX512BW E9NF l0
VEX.66 0F C5        VPEXTRW               Gy,Udq,Ib         AVX l0               AVX512BW E9NF l0
VEX.NP 0F C6        VSHUFPS               Vx,Hx,Wx,Ib       AVX                  AVX512F E4NF w0 kz bd
VEX.66 0F C6        VSHUFPD               Vx,Hx,Wx,Ib       AVX                  AVX512F E4NF w1 kz bq
VEX.66 0F D0        VADDSUBPD             Vx,Hx,Wx          AVX
VEX.F2 0F D0        VADDSUBPS             Vx,Hx,Wx          AVX
VEX.66 0F D1        VPSRLW                Vx,Hx,Wdq         AVX/AVX2             AVX512BW E4NF kz e2
VEX.66 0F D2        VPSRLD                Vx,Hx,Wdq         AVX/AVX2             AVX512F E4NF w0 kz e4
VEX.66 0F D3        VPSRLQ                Vx,Hx,Wdq         AVX/AVX2             AVX512F E4NF w1 kz e8
VEX.66 0F D4        VPADDQ                Vx,Hx,Wx          AVX/AVX2             AVX512F E4 w1 kz bq
VEX.66 0F D5        VPMULLW               Vx,Hx,Wx          AVX/AVX2             AVX512BW E4 kz e2
VEX.66 0F D6        VMOVQ                 Wq,Vdq            AVX l0               AVX512F E9NF w1 l0
VEX.66 0F D7        VPMOVMSKB             Gy,Udq            AVX l0
VEX.66 0F D7        VPMOVMSKB             Gy,Uqq            AVX2 l1
VEX.66 0F D8        VPSUBUSB              Vx,Hx,Wx          AVX/AVX2             AVX512BW E4 kz e1
VEX.66 0F D9        VPSUBUSW              Vx,Hx,Wx          AVX/AVX2             AVX512BW E4 kz e2
VEX.66 0F DA        VPMINUB               Vx,Hx,Wx          AVX/AVX2             AVX512BW E4 kz e1
VEX.66 0F DB        VPAND                 Vx,Hx,Wx          AVX/AVX2
VEX.66 0F DC        VPADDUSB              Vx,Hx,Wx          AVX/AVX2             AVX512BW E4 kz e1
VEX.66 0F DD        VPADDUSW              Vx,Hx,Wx          AVX/AVX2             AVX512BW E4 kz e2
VEX.66 0F DE        VPMAXUB               Vx,Hx,Wx          AVX/AVX2             AVX512BW E4 kz e1
VEX.66 0F DF        VPANDN                Vx,Hx,Wx          AVX/AVX2
VEX.66 0F E0        VPAVGB                Vx,Hx,Wx          AVX/AVX2             AVX512BW E4 kz e1
VEX.66 0F E1        VPSRAW                Vx,Hx,Wdq         AVX/AVX2             AVX512BW E4NF kz e2
VEX.66 0F E2        VPSRAD                Vx,Hx,Wdq         AVX/AVX2             AVX512F E4NF w0 kz e4
VEX.66 0F E3        VPAVGW                Vx,Hx,Wx          AVX/AVX2             AVX512BW E4 kz e2
VEX.66 0F E4        VPMULHUW              Vx,Hx,Wx          AVX/AVX2             AVX512BW E4 kz e2
VEX.66 0F E5        VPMULHW               Vx,Hx,Wx          AVX/AVX2             AVX512BW E4 kz e2
VEX.66 0F E6        VCVTTPD2DQ            Vdq,Wx            AVX
VEX.F3 0F E6        VCVTDQ2PD             Vx,Whx            AVX                  AVX512F E5 w0 kz e8 bd er
VEX.F2 0F E6        VCVTPD2DQ             Vdq,Wx            AVX
VEX.66 0F E7        VMOVNTDQ              Mx,Vx             AVX as=VMOVAPS       AVX512F E1NF w0
VEX.66 0F E8        VPSUBSB               Vx,Hx,Wx          AVX/AVX2             AVX512BW E4 kz e1
VEX.66 0F E9        VPSUBSW               Vx,Hx,Wx          AVX/AVX2             AVX512BW E4 kz e2
VEX.66 0F EA        VPMINSW               Vx,Hx,Wx          AVX/AVX2             AVX512BW E4 kz e2
VEX.66 0F EB        VPOR                  Vx,Hx,Wx          AVX/AVX2
VEX.66 0F EC        VPADDSB               Vx,Hx,Wx          AVX/AVX2             AVX512BW E4 kz e1
VEX.66 0F ED        VPADDSW               Vx,Hx,Wx          AVX/AVX2             AVX512BW E4 kz e2
VEX.66 0F EE        VPMAXSW               Vx,Hx,Wx          AVX/AVX2             AVX512BW E4 kz e2
VEX.66 0F EF        VPXOR                 Vx,Hx,Wx          AVX/AVX2
VEX.F2 0F F0        VLDDQU                Vx,Mx             AVX as=VMOVUPS
VEX.66 0F F1        VPSLLW                Vx,Hx,Wdq         AVX/AVX2             AVX512BW E4NF kz e2
VEX.66 0F F2        VPSLLD                Vx,Hx,Wdq         AVX/AVX2             AVX512F E4NF w0 kz e4
VEX.66 0F F3        VPSLLQ                Vx,Hx,Wdq         AVX/AVX2             AVX512F E4NF w1 kz e8
VEX.66 0F F4        VPMULUDQ              Vx,Hx,Wx          AVX/AVX2             AVX512F E4 w1 kz bq
VEX.66 0F F5        VPMADDWD              Vx,Hx,Wx          AVX/AVX2             AVX512BW E4NF kz e4
VEX.66 0F F6        VPSADBW               Vx,Hx,Wx          AVX/AVX2             AVX512BW E4NF
VEX.66 0F F7        VMASKMOVDQU           Vdq,Udq           AVX l0 maskmov
VEX.66 0F F8        VPSUBB                Vx,Hx,Wx          AVX/AVX2             AVX512BW E4 kz e1
VEX.66 0F F9        VPSUBW                Vx,Hx,Wx          AVX/AVX2             AVX512BW E4 kz e2
VEX.66 0F FA        VPSUBD                Vx,Hx,Wx          AVX/AVX2             AVX512F E4 w0 kz bd
VEX.66 0F FB        VPSUBQ                Vx,Hx,Wx          AVX/AVX2             AVX512F E4 w1 kz bq
VEX.66 0F FC        VPADDB                Vx,Hx,Wx          AVX/AVX2             AVX512BW E4 kz e1
VEX.66 0F FD        VPADDW                Vx,Hx,Wx          AVX/AVX2             AVX512BW E4 kz e2
VEX.66 0F FE        VPADDD                Vx,Hx,Wx          AVX/AVX2             AVX512F E4 w0 kz bd
VEX.66 0F 38 00     VPSHUFB               Vx,Hx,Wx          AVX/AVX2             AVX512BW E4NF kz e1
VEX.66 0F 38 01     VPHADDW               Vx,Hx,Wx          AVX/AVX2
VEX.66 0F 38 02     VPHADDD               Vx,Hx,Wx          AVX/AVX2
VEX.66 0F 38 03     VPHADDSW              Vx,Hx,Wx          AVX/AVX2
VEX.66 0F 38 04     VPMADDUBSW            Vx,Hx,Wx          AVX/AVX2             AVX512BW E4NF kz e2
VEX.66 0F 38 05     VPHSUBW               Vx,Hx,Wx          AVX/AVX2
VEX.66 0F 38 06     VPHSUBD               Vx,Hx,Wx          AVX/AVX2
VEX.66 0F 38 07     VPHSUBSW              Vx,Hx,Wx          AVX/AVX2
VEX.66 0F 38 08     VPSIGNB               Vx,Hx,Wx          AVX/AVX2
VEX.66 0F 38 09     VPSIGNW               Vx,Hx,Wx          AVX/AVX2
VEX.66 0F 38 0A     VPSIGND               Vx,Hx,Wx          AVX/AVX2
VEX.66 0F 38 0B     VPMULHRSW             Vx,Hx,Wx          AVX/AVX2             AVX512BW E4 kz e2
VEX.66 0F 38 0C     VPERMILPS             Vx,Hx,Wx          AVX w0               AVX512F E4NF w0 kz bd
VEX.66 0F 38 0D     VPERMILPD             Vx,Hx,Wx          AVX w0               AVX512F E4NF w1 kz bq
VEX.66 0F 38 0E     VTESTPS               Vx,Wx             AVX w0
VEX.66 0F 38 0F     VTESTPD               Vx,Wx             AVX w0
VEX.66 0F 38 13     VCVTPH2PS             Vx,Whx            F16C w0              AVX512F E11 w0 kz e4 sae
VEX.66 0F 38 16     VPERMPS               Vqq,Hqq,Wqq       AVX2 w0 l1 as=VPERMD
VEX.66 0F 38 17     VPTEST                Vx,Wx             AVX
VEX.66 0F 38 18     VBROADCASTSS          Vx,Md             AVX w0
VEX.66 0F 38 18     VBROADCASTSS          Vx,Udq            AVX2 w0
VEX.66 0F 38 19     VBROADCASTSD          Vqq,Mq            AVX w0 l1
VEX.66 0F 38 19     VBROADCASTSD          Vqq,Udq           AVX2 w0 l1
VEX.66 0F 38 1A     VBROADCASTF128        Vqq,Mdq           AVX w0 l1
VEX.66 0F 38 1C     VPABSB                Vx,Wx             AVX/AVX2             AVX512BW E4 kz e1
VEX.66 0F 38 1D     VPABSW                Vx,Wx             AVX/AVX2             AVX512BW E4 kz e2
VEX.66 0F 38 1E     VPABSD                Vx,Wx             AVX/AVX2             AVX512F E4 w0 kz bd
VEX.66 0F 38 20     VPMOVSXBW             Vx,Whx            AVX/AVX2             AVX512BW E5 kz e2
VEX.66 0F 38 21     VPMOVSXBD             Vx,Wqx            AVX/AVX2             AVX512F E5 kz e4
VEX.66 0F 38 22     VPMOVSXBQ             Vx,Wex            AVX/AVX2             AVX512F E5 kz e8
VEX.66 0F 38 23     VPMOVSXWD             Vx,Whx            AVX/AVX2             AVX512F E5 kz e4
VEX.66 0F 38 24     VPMOVSXWQ             Vx,Wqx            AVX/AVX2             AVX512F E5 kz e8
VEX.66 0F 38 25     VPMOVSXDQ             Vx,Whx            AVX/AVX2             AVX512F E5 w0 kz e8
VEX.66 0F 38 28     VPMULDQ               Vx,Hx,Wx          AVX/AVX2             AVX512F E4 w1 kz bq
VEX.66 0F 38 29     VPCMPEQQ              Vx,Hx,Wx          AVX/AVX2
VEX.66 0F 38 2A     VMOVNTDQA             Vx,Mx             AVX/AVX2 as=VMOVAPS  AVX512F E1NF w0
VEX.66 0F 38 2B     VPACKUSDW             Vx,Hx,Wx          AVX/AVX2             AVX512BW E4NF w0 kz e2 bd
VEX.66 0F 38 2C     VMASKMOVPS            Vx,Hx,Mx          AVX w0
VEX.66 0F 38 2D     VMASKMOVPD            Vx,Hx,Mx          AVX w0
VEX.66 0F 38 2E     VMASKMOVPS            Mx,Hx,Vx          AVX w0
VEX.66 0F 38 2F     VMASKMOVPD            Mx,Hx,Vx          AVX w0
VEX.66 0F 38 30     VPMOVZXBW             Vx,Whx            AVX/AVX2             AVX512BW E5 kz e2
VEX.66 0F 38 31     VPMOVZXBD             Vx,Wqx            AVX/AVX2             AVX512F E5 kz e4
VEX.66 0F 38 32     VPMOVZXBQ             Vx,Wex            AVX/AVX2             AVX512F E5 kz e8
VEX.66 0F 38 33     VPMOVZXWD             Vx,Whx            AVX/AVX2             AVX512F E5 kz e4
VEX.66 0F 38 34     VPMOVZXWQ             Vx,Wqx            AVX/AVX2             AVX512F E5 kz e8
VEX.66 0F 38 35     VPMOVZXDQ             Vx,Whx            AVX/AVX2             AVX512F E5 w0 kz e8
VEX.66 0F 38 36     VPERMD                Vqq,Hqq,Wqq       AVX2 w0 l1
VEX.66 0F 38 37     VPCMPGTQ              Vx,Hx,Wx          AVX/AVX2
VEX.66 0F 38 38     VPMINSB               Vx,Hx,Wx          AVX/AVX2             AVX512BW E4 kz e1
VEX.66 0F 38 39     VPMINSD               Vx,Hx,Wx          AVX/AVX2             AVX512F E4 w0 kz bd
VEX.66 0F 38 3A     VPMINUW               Vx,Hx,Wx          AVX/AVX2             AVX512BW E4 kz e2
VEX.66 0F 38 3B     VPMINUD               Vx,Hx,Wx          AVX/AVX2             AVX512F E4 w0 kz bd
VEX.66 0F 38 3C     VPMAXSB               Vx,Hx,Wx          AVX/AVX2             AVX512BW E4 kz e1
VEX.66 0F 38 3D     VPMAXSD               Vx,Hx,Wx          AVX/AVX2             AVX512F E4 w0 kz bd
VEX.66 0F 38 3E     VPMAXUW               Vx,Hx,Wx          AVX/AVX2             AVX512BW E4 kz e2
VEX.66 0F 38 3F     VPMAXUD               Vx,Hx,Wx          AVX/AVX2             AVX512F E4 w0 kz bd
VEX.66 0F 38 40     VPMULLD               Vx,Hx,Wx          AVX/AVX2             AVX512F E4 w0 kz bd
VEX.66 0F 38 41     VPHMINPOSUW           Vdq,Wdq           AVX l0
VEX.66 0F 38 45     VPSRLVD               Vx,Hx,Wx          AVX2 w0              AVX512F E4 w0 kz bd
VEX.66 0F 38 45     VPSRLVQ               Vx,Hx,Wx          AVX2 w1              AVX512F E4 w1 kz bq
VEX.66 0F 38 46     VPSRAVD               Vx,Hx,Wx          AVX2 w0              AVX512F E4 w0 kz bd
VEX.66 0F 38 47     VPSLLVD               Vx,Hx,Wx          AVX2 w0              AVX512F E4 w0 kz bd
VEX.66 0F 38 47     VPSLLVQ               Vx,Hx,Wx          AVX2 w1              AVX512F E4 w1 kz bq
VEX.66 0F 38 50     VPDPBUSD              Vx,Hx,Wx          AVX_VNNI w0
VEX.NP 0F 38 50     VPDPBUUD              Vx,Hx,Wx          AVX_VNNI_INT8 w0     AVX10_2 E4 w0 kz bd
VEX.F3 0F 38 50     VPDPBSUD              Vx,Hx,Wx          AVX_VNNI_INT8 w0     AVX10_2 E4 w0 kz bd
VEX.F2 0F 38 50     VPDPBSSD              Vx,Hx,Wx          AVX_VNNI_INT8 w0     AVX10_2 E4 w0 kz bd
VEX.66 0F 38 51     VPDPBUSDS             Vx,Hx,Wx          AVX_VNNI w0
VEX.NP 0F 38 51     VPDPBUUDS             Vx,Hx,Wx          AVX_VNNI_INT8 w0     AVX10_2 E4 w0 kz bd
VEX.F3 0F 38 51     VPDPBSUDS             Vx,Hx,Wx          AVX_VNNI_INT8 w0     AVX10_2 E4 w0 kz bd
VEX.F2 0F 38 51     VPDPBSSDS             Vx,Hx,Wx          AVX_VNNI_INT8 w0     AVX10_2 E4 w0 kz bd
VEX.66 0F 38 52     VPDPWSSD              Vx,Hx,Wx          AVX_VNNI w0
VEX.66 0F 38 53     VPDPWSSDS             Vx,Hx,Wx          AVX_VNNI w0
VEX.66 0F 38 58     VPBROADCASTD          Vx,Wd             AVX2 w0 as=VBROADCASTSS  AVX512F E6 w0 kz e4
VEX.66 0F 38 59     VPBROADCASTQ          Vx,Wq             AVX2 w0 as=VBROADCASTSD  AVX512F E6 w1 kz e8
VEX.66 0F 38 5A     VBROADCASTI128        Vqq,Mdq           AVX2 w0 l1 as=VBROADCASTF128
VEX.F3 0F 38 72     VCVTNEPS2BF16         Vdq,Wx            AVX_NE_CONVERT w0
VEX.66 0F 38 78     VPBROADCASTB          Vx,Wb             AVX2 w0              AVX512BW E6 w0 kz e1
VEX.66 0F 38 79     VPBROADCASTW          Vx,Ww             AVX2 w0              AVX512BW E6 w0 kz e2
VEX.66 0F 38 8C     VPMASKMOVD            Vx,Hx,Mx          AVX2 w0
VEX.66 0F 38 8C     VPMASKMOVQ            Vx,Hx,Mx          AVX2 w1
VEX.66 0F 38 8E     VPMASKMOVD            Mx,Hx,Vx          AVX2 w0
VEX.66 0F 38 8E     VPMASKMOVQ            Mx,Hx,Vx          AVX2 w1
VEX.66 0F 38 90     VPGATHERDD            Vdq,vxd,Hdq       AVX2 w0 l0 distinct
VEX.66 0F 38 90     VPGATHERDD            Vqq,vyd,Hqq       AVX2 w0 l1 distinct
VEX.66 0F 38 90     VPGATHERDQ            Vdq,vxq,Hdq       AVX2 w1 l0 distinct
VEX.66 0F 38 90     VPGATHERDQ            Vqq,vxq,Hqq       AVX2 w1 l1 distinct
VEX.66 0F 38 91     VPGATHERQD            Vdq,vxd,Hdq       AVX2 w0 l0 distinct
VEX.66 0F 38 91     VPGATHERQD            Vdq,vyd,Hdq       AVX2 w0 l1 distinct
VEX.66 0F 38 91     VPGATHERQQ            Vdq,vxq,Hdq       AVX2 w1 l0 distinct
VEX.66 0F 38 91     VPGATHERQQ            Vqq,vyq,Hqq       AVX2 w1 l1 distinct
VEX.66 0F 38 92     VGATHERDPS            Vdq,vxd,Hdq       AVX2 w0 l0 distinct as=VPGATHERDD
VEX.66 0F 38 92     VGATHERDPS            Vqq,vyd,Hqq       AVX2 w0 l1 distinct as=VPGATHERDD
VEX.66 0F 38 92     VGATHERDPD            Vdq,vxq,Hdq       AVX2 w1 l0 distinct as=VPGATHERDQ
VEX.66 0F 38 92     VGATHERDPD            Vqq,vxq,Hqq       AVX2 w1 l1 distinct as=VPGATHERDQ
VEX.66 0F 38 93     VGATHERQPS            Vdq,vxd,Hdq       AVX2 w0 l0 distinct as=VPGATHERQD
VEX.66 0F 38 93     VGATHERQPS            Vdq,vyd,Hdq       AVX2 w0 l1 distinct as=VPGATHERQD
VEX.66 0F 38 93     VGATHERQPD            Vdq,vxq,Hdq       AVX2 w1 l0 distinct as=VPGATHERQQ
VEX.66 0F 38 93     VGATHERQPD            Vqq,vyq,Hqq       AVX2 w1 l1 distinct as=VPGATHERQQ
VEX.66 0F 38 96     VFMADDSUB132PS        Vx,Hx,Wx          FMA w0               AVX512F E2 w0 kz bd er
VEX.66 0F 38 96     VFMADDSUB132PD        Vx,Hx,Wx          FMA w1               AVX512F E2 w1 kz bq er
VEX.66 0F 38 97     VFMSUBADD132PS        Vx,Hx,Wx          FMA w0               AVX512F E2 w0 kz bd er
VEX.66 0F 38 97     VFMSUBADD132PD        Vx,Hx,Wx          FMA w1               AVX512F E2 w1 kz bq er
VEX.66 0F 38 98     VFMADD132PS           Vx,Hx,Wx          FMA w0               AVX512F E2 w0 kz bd er
VEX.66 0F 38 98     VFMADD132PD           Vx,Hx,Wx          FMA w1               AVX512F E2 w1 kz bq er
VEX.66 0F 38 99     VFMADD132SS           Vdq,Hdq,Wd        FMA w0               AVX512F E3 w0 kz e4 er
VEX.66 0F 38 99     VFMADD132SD           Vdq,Hdq,Wq        FMA w1               AVX512F E3 w1 kz e8 er
VEX.66 0F 38 9A     VFMSUB132PS           Vx,Hx,Wx          FMA w0               AVX512F E2 w0 kz bd er
VEX.66 0F 38 9A     VFMSUB132PD           Vx,Hx,Wx          FMA w1               AVX512F E2 w1 kz bq er
VEX.66 0F 38 9B     VFMSUB132SS           Vdq,Hdq,Wd        FMA w0               AVX512F E3 w0 kz e4 er
VEX.66 0F 38 9B     VFMSUB132SD           Vdq,Hdq,Wq        FMA w1               AVX512F E3 w1 kz e8 er
VEX.66 0F 38 9C     VFNMADD132PS          Vx,Hx,Wx          FMA w0               AVX512F E2 w0 kz bd er
VEX.66 0F 38 9C     VFNMADD132PD          Vx,Hx,Wx          FMA w1               AVX512F E2 w1 kz bq er
VEX.66 0F 38 9D     VFNMADD132SS          Vdq,Hdq,Wd        FMA w0               AVX512F E3 w0 kz e4 er
VEX.66 0F 38 9D     VFNMADD132SD          Vdq,Hdq,Wq        FMA w1               AVX512F E3 w1 kz e8 er
VEX.66 0F 38 9E     VFNMSUB132PS          Vx,Hx,Wx          FMA w0               AVX512F E2 w0 kz bd er
VEX.66 0F 38 9E     VFNMSUB132PD          Vx,Hx,Wx          FMA w1               AVX512F E2 w1 kz bq er
VEX.66 0F 38 9F     VFNMSUB132SS          Vdq,Hdq,Wd        FMA w0               AVX512F E3 w0 kz e4 er
VEX.66 0F 38 9F     VFNMSUB132SD          Vdq,Hdq,Wq        FMA w1               AVX512F E3 w1 kz e8 er
VEX.66 0F 38 A6     VFMADDSUB213PS        Vx,Hx,Wx          FMA w0               AVX512F E2 w0 kz bd er
VEX.66 0F 38 A6     VFMADDSUB213PD        Vx,Hx,Wx          FMA w1               AVX512F E2 w1 kz bq er
VEX.66 0F 38 A7     VFMSUBADD213PS        Vx,Hx,Wx          FMA w0               AVX512F E2 w0 kz bd er
VEX.66 0F 38 A7     VFMSUBADD213PD        Vx,Hx,Wx          FMA w1               AVX512F E2 w1 kz bq er
VEX.66 0F 38 A8     VFMADD213PS           Vx,Hx,Wx          FMA w0               AVX512F E2 w0 kz bd er
VEX.66 0F 38 A8     VFMADD213PD           Vx,Hx,Wx          FMA w1               AVX512F E2 w1 kz bq er
VEX.66 0F 38 A9     VFMADD213SS           Vdq,Hdq,Wd        FMA w0               AVX512F E3 w0 kz e4 er
VEX.66 0F 38 A9     VFMADD213SD           Vdq,Hdq,Wq        FMA w1               AVX512F E3 w1 kz e8 er
VEX.66 0F 38 AA     VFMSUB213PS           Vx,Hx,Wx          FMA w0               AVX512F E2 w0 kz bd er
VEX.66 0F 38 AA     VFMSUB213PD           Vx,Hx,Wx          FMA w1               AVX512F E2 w1 kz bq er
VEX.66 0F 38 AB     VFMSUB213SS           Vdq,Hdq,Wd        FMA w0               AVX512F E3 w0 kz e4 er
VEX.66 0F 38 AB     VFMSUB213SD           Vdq,Hdq,Wq        FMA w1               AVX512F E3 w1 kz e8 er
VEX.66 0F 38 AC     VFNMADD213PS          Vx,Hx,Wx          FMA w0               AVX512F E2 w0 kz bd er
VEX.66 0F 38 AC     VFNMADD213PD          Vx,Hx,Wx          FMA w1               AVX512F E2 w1 kz bq er
VEX.66 0F 38 AD     VFNMADD213SS          Vdq,Hdq,Wd        FMA w0               AVX512F E3 w0 kz e4 er
VEX.66 0F 38 AD     VFNMADD213SD          Vdq,Hdq,Wq        FMA w1               AVX512F E3 w1 kz e8 er
VEX.66 0F 38 AE     VFNMSUB213PS          Vx,Hx,Wx          FMA w0               AVX512F E2 w0 kz bd er
VEX.66 0F 38 AE     VFNMSUB213PD          Vx,Hx,Wx          FMA w1               AVX512F E2 w1 kz bq er
VEX.66 0F 38 AF     VFNMSUB213SS          Vdq,Hdq,Wd        FMA w0               AVX512F E3 w0 kz e4 er
VEX.66 0F 38 AF     VFNMSUB213SD          Vdq,Hdq,Wq        FMA w1               AVX512F E3 w1 kz e8 er
VEX.NP 0F 38 B0     VCVTNEOPH2PS          Vx,Mx             AVX_NE_CONVERT w0
VEX.66 0F 38 B0     VCVTNEEPH2PS          Vx,Mx             AVX_NE_CONVERT w0
VEX.F3 0F 38 B0     VCVTNEEBF162PS        Vx,Mx             AVX_NE_CONVERT w0
VEX.F2 0F 38 B0     VCVTNEOBF162PS        Vx,Mx             AVX_NE_CONVERT w0
VEX.66 0F 38 B1     VBCSTNESH2PS          Vx,Mw             AVX_NE_CONVERT w0
VEX.F3 0F 38 B1     VBCSTNEBF162PS        Vx,Mw             AVX_NE_CONVERT w0
VEX.66 0F 38 B4     VPMADD52LUQ           Vx,Hx,Wx          AVX_IFMA w1
VEX.66 0F 38 B5     VPMADD52HUQ           Vx,Hx,Wx          AVX_IFMA w1
VEX.66 0F 38 B6     VFMADDSUB231PS        Vx,Hx,Wx          FMA w0               AVX512F E2 w0 kz bd er
VEX.66 0F 38 B6     VFMADDSUB231PD        Vx,Hx,Wx          FMA w1               AVX512F E2 w1 kz bq er
VEX.66 0F 38 B7     VFMSUBADD231PS        Vx,Hx,Wx          FMA w0               AVX512F E2 w0 kz bd er
VEX.66 0F 38 B7     VFMSUBADD231PD        Vx,Hx,Wx          FMA w1               AVX512F E2 w1 kz bq er
VEX.66 0F 38 B8     VFMADD231PS           Vx,Hx,Wx          FMA w0               AVX512F E2 w0 kz bd er
VEX.66 0F 38 B8     VFMADD231PD           Vx,Hx,Wx          FMA w1               AVX512F E2 w1 kz bq er
VEX.66 0F 38 B9     VFMADD231SS           Vdq,Hdq,Wd        FMA w0               AVX512F E3 w0 kz e4 er
VEX.66 0F 38 B9     VFMADD231SD           Vdq,Hdq,Wq        FMA w1               AVX512F E3 w1 kz e8 er
VEX.66 0F 38 BA     VFMSUB231PS           Vx,Hx,Wx          FMA w0               AVX512F E2 w0 kz bd er
VEX.66 0F 38 BA     VFMSUB231PD           Vx,Hx,Wx          FMA w1               AVX512F E2 w1 kz bq er
VEX.66 0F 38 BB     VFMSUB231SS           Vdq,Hdq,Wd        FMA w0               AVX512F E3 w0 kz e4 er
VEX.66 0F 38 BB     VFMSUB231SD           Vdq,Hdq,Wq        FMA w1               AVX512F E3 w1 kz e8 er
VEX.66 0F 38 BC     VFNMADD231PS          Vx,Hx,Wx          FMA w0               AVX512F E2 w0 kz bd er
VEX.66 0F 38 BC     VFNMADD231PD          Vx,Hx,Wx          FMA w1               AVX512F E2 w1 kz bq er
VEX.66 0F 38 BD     VFNMADD231SS          Vdq,Hdq,Wd        FMA w0               AVX512F E3 w0 kz e4 er
VEX.66 0F 38 BD     VFNMADD231SD          Vdq,Hdq,Wq        FMA w1               AVX512F E3 w1 kz e8 er
VEX.66 0F 38 BE     VFNMSUB231PS          Vx,Hx,Wx          FMA w0               AVX512F E2 w0 kz bd er
VEX.66 0F 38 BE     VFNMSUB231PD          Vx,Hx,Wx          FMA w1               AVX512F E2 w1 kz bq er
VEX.66 0F 38 BF     VFNMSUB231SS          Vdq,Hdq,Wd        FMA w0               AVX512F E3 w0 kz e4 er
VEX.66 0F 38 BF     VFNMSUB231SD          Vdq,Hdq,Wq        FMA w1               AVX512F E3 w1 kz e8 er
VEX.F2 0F 38 CB     VSHA512RNDS2          Vqq,Hqq,Udq       AVX+SHA512 w0 l1
VEX.F2 0F 38 CC     VSHA512MSG1           Vqq,Udq           AVX+SHA512 w0 l1
VEX.F2 0F 38 CD     VSHA512MSG2           Vqq,Uqq           AVX+SHA512 w0 l1
VEX.66 0F 38 CF     VGF2P8MULB            Vx,Hx,Wx          AVX+GFNI w0          AVX512F+GFNI E4 w0 kz e1
VEX.NP 0F 38 D2     VPDPWUUD              Vx,Hx,Wx          AVX_VNNI_INT16 w0    AVX10_2 E4 w0 kz bd
VEX.66 0F 38 D2     VPDPWUSD              Vx,Hx,Wx          AVX_VNNI_INT16 w0    AVX10_2 E4 w0 kz bd
VEX.F3 0F 38 D2     VPDPWSUD              Vx,Hx,Wx          AVX_VNNI_INT16 w0    AVX10_2 E4 w0 kz bd
VEX.NP 0F 38 D3     VPDPWUUDS             Vx,Hx,Wx          AVX_VNNI_INT16 w0    AVX10_2 E4 w0 kz bd
VEX.66 0F 38 D3     VPDPWUSDS             Vx,Hx,Wx          AVX_VNNI_INT16 w0    AVX10_2 E4 w0 kz bd
VEX.F3 0F 38 D3     VPDPWSUDS             Vx,Hx,Wx          AVX_VNNI_INT16 w0    AVX10_2 E4 w0 kz bd
VEX.NP 0F 38 DA     VSM3MSG1              Vdq,Hdq,Wdq       AVX+SM3 w0 l0
VEX.66 0F 38 DA     VSM3MSG2              Vdq,Hdq,Wdq       AVX+SM3 w0 l0
VEX.F3 0F 38 DA     VSM4KEY4              Vx,Hx,Wx          AVX+SM4 w0           AVX10_2+SM4 E4NF w0
VEX.F2 0F 38 DA     VSM4RNDS4             Vx,Hx,Wx          AVX+SM4 w0           AVX10_2+SM4 E4NF w0
VEX.66 0F 38 DB     VAESIMC               Vdq,Wdq           AVX+AES l0
VEX.66 0F 38 DC     VAESENC               Vx,Hx,Wx          AVX+AES/VAES         AVX512F+VAES E4NF
VEX.66 0F 38 DD     VAESENCLAST           Vx,Hx,Wx          AVX+AES/VAES         AVX512F+VAES E4NF
VEX.66 0F 38 DE     VAESDEC               Vx,Hx,Wx          AVX+AES/VAES         AVX512F+VAES E4NF
VEX.66 0F 38 DF     VAESDECLAST           Vx,Hx,Wx          AVX+AES/VAES         AVX512F+VAES E4NF
VEX.66 0F 38 E0     CMPOXADD              My,Gy,By          CMPCCXADD o64 l0 atomic  APX_F+CMPCCXADD o64 atomic
VEX.66 0F 38 E1     CMPNOXADD             My,Gy,By          CMPCCXADD o64 l0 atomic  APX_F+CMPCCXADD o64 atomic
VEX.66 0F 38 E2     CMPBXADD              My,Gy,By          CMPCCXADD o64 l0 atomic  APX_F+CMPCCXADD o64 atomic
VEX.66 0F 38 E3     CMPNBXADD             My,Gy,By          CMPCCXADD o64 l0 atomic  APX_F+CMPCCXADD o64 atomic
VEX.66 0F 38 E4     CMPZXADD              My,Gy,By          CMPCCXADD o64 l0 atomic  APX_F+CMPCCXADD o64 atomic
VEX.66 0F 38 E5     CMPNZXADD             My,Gy,By          CMPCCXADD o64 l0 atomic  APX_F+CMPCCXADD o64 atomic
VEX.66 0F 38 E6     CMPBEXADD             My,Gy,By          CMPCCXADD o64 l0 atomic  APX_F+CMPCCXADD o64 atomic
VEX.66 0F 38 E7     CMPNBEXADD            My,Gy,By          CMPCCXADD o64 l0 atomic  APX_F+CMPCCXADD o64 atomic
VEX.66 0F 38 E8     CMPSXADD              My,Gy,By          CMPCCXADD o64 l0 atomic  APX_F+CMPCCXADD o64 atomic
VEX.66 0F 38 E9     CMPNSXADD             My,Gy,By          CMPCCXADD o64 l0 atomic  APX_F+CMPCCXADD o64 atomic
VEX.66 0F 38 EA     CMPPXADD              My,Gy,By          CMPCCXADD o64 l0 atomic  APX_F+CMPCCXADD o64 atomic
VEX.66 0F 38 EB     CMPNPXADD             My,Gy,By          CMPCCXADD o64 l0 atomic  APX_F+CMPCCXADD o64 atomic
VEX.66 0F 38 EC     CMPLXADD              My,Gy,By          CMPCCXADD o64 l0 atomic  APX_F+CMPCCXADD o64 atomic
VEX.66 0F 38 ED     CMPNLXADD             My,Gy,By          CMPCCXADD o64 l0 atomic  APX_F+CMPCCXADD o64 atomic
VEX.66 0F 38 EE     CMPLEXADD             My,Gy,By          CMPCCXADD o64 l0 atomic  APX_F+CMPCCXADD o64 atomic
VEX.66 0F 38 EF     CMPNLEXADD            My,Gy,By          CMPCCXADD o64 l0 atomic  APX_F+CMPCCXADD o64 atomic
VEX.66 0F 3A 00     VPERMQ                Vqq,Wqq,Ib        AVX2 w1 l1
VEX.66 0F 3A 01     VPERMPD               Vqq,Wqq,Ib        AVX2 w1 l1 as=VPERMQ
VEX.66 0F 3A 02     VPBLENDD              Vx,Hx,Wx,Ib       AVX2 w0 as=VBLENDPS
VEX.66 0F 3A 04     VPERMILPS             Vx,Wx,Ib          AVX w0               AVX512F E4NF w0 kz bd
VEX.66 0F 3A 05     VPERMILPD             Vx,Wx,Ib          AVX w0               AVX512F E4NF w1 kz bq
VEX.66 0F 3A 06     VPERM2F128            Vqq,Hqq,Wqq,Ib    AVX w0 l1
VEX.66 0F 3A 08     VROUNDPS              Vx,Wx,Ib          AVX
VEX.66 0F 3A 09     VROUNDPD              Vx,Wx,Ib          AVX
VEX.66 0F 3A 0A     VROUNDSS              Vdq,Hdq,Wd,Ib     AVX
VEX.66 0F 3A 0B     VROUNDSD              Vdq,Hdq,Wq,Ib     AVX
VEX.66 0F 3A 0C     VBLENDPS              Vx,Hx,Wx,Ib       AVX
VEX.66 0F 3A 0D     VBLENDPD              Vx,Hx,Wx,Ib       AVX
VEX.66 0F 3A 0E     VPBLENDW              Vx,Hx,Wx,Ib       AVX/AVX2
VEX.66 0F 3A 0F     VPALIGNR              Vx,Hx,Wx,Ib       AVX/AVX2             AVX512BW E4NF kz e1
VEX.66 0F 3A 14     VPEXTRB               Ry/Mb,Vdq,Ib      AVX l0               AVX512BW E9NF l0
VEX.66 0F 3A 15     VPEXTRW               Ry/Mw,Vdq,Ib      AVX l0               AVX512BW E9NF l0
VEX.66 0F 3A 16     VPEXTRD/VPEXTRQ       Ey,Vdq,Ib         AVX l0               AVX512DQ E9NF l0
VEX.66 0F 3A 17     VEXTRACTPS            Ry/Md,Vdq,Ib      AVX l0               AVX512F E9NF l0
VEX.66 0F 3A 18     VINSERTF128           Vqq,Hqq,Wdq,Ib    AVX w0 l1
VEX.66 0F 3A 19     VEXTRACTF128          Wdq,Vqq,Ib        AVX w0 l1
VEX.66 0F 3A 1D     VCVTPS2PH             Whx,Vx,Ib         F16C w0              AVX512F E11 w0 kz e2 sae
VEX.66 0F 3A 20     VPINSRB               Vdq,Hdq,Ry/Mb,Ib  AVX l0               AVX512BW E9NF l0
VEX.66 0F 3A 21     VINSERTPS             Vdq,Hdq,Wd,Ib     AVX l0               AVX512F E9NF w0 l0
VEX.66 0F 3A 22     VPINSRD/VPINSRQ       Vdq,Hdq,Ey,Ib     AVX l0               AVX512DQ E9NF l0
VEX.66 0F 3A 38     VINSERTI128           Vqq,Hqq,Wdq,Ib    AVX2 w0 l1 as=VINSERTF128
VEX.66 0F 3A 39     VEXTRACTI128          Wdq,Vqq,Ib        AVX2 w0 l1 as=VEXTRACTF128
VEX.66 0F 3A 40     VDPPS                 Vx,Hx,Wx,Ib       AVX
VEX.66 0F 3A 41     VDPPD                 Vdq,Hdq,Wdq,Ib    AVX l0
VEX.66 0F 3A 42     VMPSADBW              Vx,Hx,Wx,Ib       AVX/AVX2
VEX.66 0F 3A 44     VPCLMULQDQ            Vx,Hx,Wx,Ib       AVX+PCLMULQDQ/VPCLMULQDQ  AVX512F+VPCLMULQDQ E4NF
VEX.66 0F 3A 46     VPERM2I128            Vqq,Hqq,Wqq,Ib    AVX2 w0 l1 as=VPERM2F128
VEX.66 0F 3A 4A     VBLENDVPS             Vx,Hx,Wx,Lx       AVX w0
VEX.66 0F 3A 4B     VBLENDVPD             Vx,Hx,Wx,Lx       AVX w0
VEX.66 0F 3A 4C     VPBLENDVB             Vx,Hx,Wx,Lx       AVX/AVX2 w0
VEX.66 0F 3A 5C     VFMADDSUBPS           Vx,Hx,Lx,Wx       FMA4 w1
VEX.66 0F 3A 5C     VFMADDSUBPS           Vx,Hx,Wx,Lx       FMA4 w0
VEX.66 0F 3A 5D     VFMADDSUBPD           Vx,Hx,Lx,Wx       FMA4 w1
VEX.66 0F 3A 5D     VFMADDSUBPD           Vx,Hx,Wx,Lx       FMA4 w0
VEX.66 0F 3A 5E     VFMSUBADDPS           Vx,Hx,Lx,Wx       FMA4 w1
VEX.66 0F 3A 5E     VFMSUBADDPS           Vx,Hx,Wx,Lx       FMA4 w0
VEX.66 0F 3A 5F     VFMSUBADDPD           Vx,Hx,Lx,Wx       FMA4 w1
VEX.66 0F 3A 5F     VFMSUBADDPD           Vx,Hx,Wx,Lx       FMA4 w0
VEX.66 0F 3A 60     VPCMPESTRM            Vdq,Wdq,Ib        AVX =y l0
VEX.66 0F 3A 61     VPCMPESTRI            Vdq,Wdq,Ib        AVX =y l0
VEX.66 0F 3A 62     VPCMPISTRM            Vdq,Wdq,Ib        AVX l0
VEX.66 0F 3A 63     VPCMPISTRI            Vdq,Wdq,Ib        AVX l0
VEX.66 0F 3A 68     VFMADDPS              Vx,Hx,Lx,Wx       FMA4 w1
VEX.66 0F 3A 68     VFMADDPS              Vx,Hx,Wx,Lx       FMA4 w0
VEX.66 0F 3A 69     VFMADDPD              Vx,Hx,Lx,Wx       FMA4 w1
VEX.66 0F 3A 69     VFMADDPD              Vx,Hx,Wx,Lx       FMA4 w0
VEX.66 0F 3A 6A     VFMADDSS              Vdq,Hdq,Ldq,Wd    FMA4 w1
VEX.66 0F 3A 6A     VFMADDSS              Vdq,Hdq,Wd,Ldq    FMA4 w0
VEX.66 0F 3A 6B     VFMADDSD              Vdq,Hdq,Ldq,Wq    FMA4 w1
VEX.66 0F 3A 6B     VFMADDSD              Vdq,Hdq,Wq,Ldq    FMA4 w0
VEX.66 0F 3A 6C     VFMSUBPS              Vx,Hx,Lx,Wx       FMA4 w1
VEX.66 0F 3A 6C     VFMSUBPS              Vx,Hx,Wx,Lx       FMA4 w0
VEX.66 0F 3A 6D     VFMSUBPD              Vx,Hx,Lx,Wx       FMA4 w1
VEX.66 0F 3A 6D     VFMSUBPD              Vx,Hx,Wx,Lx       FMA4 w0
VEX.66 0F 3A 6E     VFMSUBSS              Vdq,Hdq,Ldq,Wd    FMA4 w1
VEX.66 0F 3A 6E     VFMSUBSS              Vdq,Hdq,Wd,Ldq    FMA4 w0
VEX.66 0F 3A 6F     VFMSUBSD              Vdq,Hdq,Ldq,Wq    FMA4 w1
VEX.66 0F 3A 6F     VFMSUBSD              Vdq,Hdq,Wq,Ldq    FMA4 w0
VEX.66 0F 3A 78     VFNMADDPS             Vx,Hx,Lx,Wx       FMA4 w1
VEX.66 0F 3A 78     VFNMADDPS             Vx,Hx,Wx,Lx       FMA4 w0
VEX.66 0F 3A 79     VFNMADDPD             Vx,Hx,Lx,Wx       FMA4 w1
VEX.66 0F 3A 79     VFNMADDPD             Vx,Hx,Wx,Lx       FMA4 w0
VEX.66 0F 3A 7A     VFNMADDSS             Vdq,Hdq,Ldq,Wd    FMA4 w1
VEX.66 0F 3A 7A     VFNMADDSS             Vdq,Hdq,Wd,Ldq    FMA4 w0
VEX.66 0F 3A 7B     VFNMADDSD             Vdq,Hdq,Ldq,Wq    FMA4 w1
VEX.66 0F 3A 7B     VFNMADDSD             Vdq,Hdq,Wq,Ldq    FMA4 w0
VEX.66 0F 3A 7C     VFNMSUBPS             Vx,Hx,Lx,Wx       FMA4 w1
VEX.66 0F 3A 7C     VFNMSUBPS             Vx,Hx,Wx,Lx       FMA4 w0
VEX.66 0F 3A 7D     VFNMSUBPD             Vx,Hx,Lx,Wx       FMA4 w1
VEX.66 0F 3A 7D     VFNMSUBPD             Vx,Hx,Wx,Lx       FMA4 w0
VEX.66 0F 3A 7E     VFNMSUBSS             Vdq,Hdq,Ldq,Wd    FMA4 w1
VEX.66 0F 3A 7E     VFNMSUBSS             Vdq,Hdq,Wd,Ldq    FMA4 w0
VEX.66 0F 3A 7F     VFNMSUBSD             Vdq,Hdq,Ldq,Wq    FMA4 w1
VEX.66 0F 3A 7F     VFNMSUBSD             Vdq,Hdq,Wq,Ldq    FMA4 w0
VEX.66 0F 3A CE     VGF2P8AFFINEQB        Vx,Hx,Wx,Ib       AVX+GFNI w1          AVX512F+GFNI E4NF w1 kz e1 bq
VEX.66 0F 3A CF     VGF2P8AFFINEINVQB     Vx,Hx,Wx,Ib       AVX+GFNI w1          AVX512F+GFNI E4NF w1 kz e1 bq
VEX.66 0F 3A DE     VSM3RNDS2             Vdq,Hdq,Wdq,Ib    AVX+SM3 w0 l0
VEX.66 0F 3A DF     VAESKEYGENASSIST      Vdq,Wdq,Ib        AVX+AES l0
`
