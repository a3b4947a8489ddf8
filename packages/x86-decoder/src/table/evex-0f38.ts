/**
 * AVX-512 instructions of EVEX map 2 (0F 38), with those of the Xeon Phi processors (ER, PF, 4FMAPS, 4VNNIW).
 *
 * Source: Intel SDM vol. 2A to 2C, each instruction's page; vol. 2A, "Intel AVX-512 Encoding".
 */
export const evex0f38Rows: string = `
EVEX.66 0F 38 00    VPSHUFB             Vx,Hx,Wx          AVX512BW kz whole vex
EVEX.66 0F 38 04    VPMADDUBSW          Vx,Hx,Wx          AVX512BW kz whole vex
EVEX.66 0F 38 0B    VPMULHRSW           Vx,Hx,Wx          AVX512BW kz vex
EVEX.66 0F 38 0C    VPERMILPS           Vx,Hx,Wx          AVX512F w0 kz whole bd vex
EVEX.66 0F 38 0D    VPERMILPD           Vx,Hx,Wx          AVX512F w1 kz whole bq vex
EVEX.66 0F 38 10    VPSRLVW             Vx,Hx,Wx          AVX512BW w1 kz
EVEX.F3 0F 38 10    VPMOVUSWB           Whx,Vx            AVX512BW w0 kz
EVEX.66 0F 38 11    VPSRAVW             Vx,Hx,Wx          AVX512BW w1 kz
EVEX.F3 0F 38 11    VPMOVUSDB           Wqx,Vx            AVX512F w0 kz
EVEX.66 0F 38 12    VPSLLVW             Vx,Hx,Wx          AVX512BW w1 kz
EVEX.F3 0F 38 12    VPMOVUSQB           Wex,Vx            AVX512F w0 kz
EVEX.66 0F 38 13    VCVTPH2PS           Vx,Whx            AVX512F w0 kz sae vex
EVEX.F3 0F 38 13    VPMOVUSDW           Whx,Vx            AVX512F w0 kz
EVEX.66 0F 38 14    VPRORVD             Vx,Hx,Wx          AVX512F w0 kz bd
EVEX.66 0F 38 14    VPRORVQ             Vx,Hx,Wx          AVX512F w1 kz bq
EVEX.F3 0F 38 14    VPMOVUSQW           Wqx,Vx            AVX512F w0 kz
EVEX.66 0F 38 15    VPROLVD             Vx,Hx,Wx          AVX512F w0 kz bd
EVEX.66 0F 38 15    VPROLVQ             Vx,Hx,Wx          AVX512F w1 kz bq
EVEX.F3 0F 38 15    VPMOVUSQD           Whx,Vx            AVX512F w0 kz
EVEX.66 0F 38 16    VPERMPS             Vx,Hx,Wx          AVX512F w0 l12 kz whole bd vex
EVEX.66 0F 38 16    VPERMPD             Vx,Hx,Wx          AVX512F w1 l12 kz whole bq
EVEX.66 0F 38 18    VBROADCASTSS        Vx,Wd             AVX512F w0 kz vex
EVEX.66 0F 38 19    VBROADCASTF32X2     Vx,Wq             AVX512DQ w0 l12 kz
EVEX.66 0F 38 19    VBROADCASTSD        Vx,Wq             AVX512F w1 l12 kz vex
EVEX.66 0F 38 1A    VBROADCASTF32X4     Vx,Mdq            AVX512F w0 l12 kz
EVEX.66 0F 38 1A    VBROADCASTF64X2     Vx,Mdq            AVX512DQ w1 l12 kz
EVEX.66 0F 38 1B    VBROADCASTF32X8     Voq,Mqq           AVX512DQ w0 l2 kz
EVEX.66 0F 38 1B    VBROADCASTF64X4     Voq,Mqq           AVX512F w1 l2 kz
EVEX.66 0F 38 1C    VPABSB              Vx,Wx             AVX512BW kz vex
EVEX.66 0F 38 1D    VPABSW              Vx,Wx             AVX512BW kz vex
EVEX.66 0F 38 1E    VPABSD              Vx,Wx             AVX512F w0 kz bd vex
EVEX.66 0F 38 1F    VPABSQ              Vx,Wx             AVX512F w1 kz bq
EVEX.66 0F 38 20    VPMOVSXBW           Vx,Whx            AVX512BW kz vex
EVEX.F3 0F 38 20    VPMOVSWB            Whx,Vx            AVX512BW w0 kz
EVEX.66 0F 38 21    VPMOVSXBD           Vx,Wqx            AVX512F kz vex
EVEX.F3 0F 38 21    VPMOVSDB            Wqx,Vx            AVX512F w0 kz
EVEX.66 0F 38 22    VPMOVSXBQ           Vx,Wex            AVX512F kz vex
EVEX.F3 0F 38 22    VPMOVSQB            Wex,Vx            AVX512F w0 kz
EVEX.66 0F 38 23    VPMOVSXWD           Vx,Whx            AVX512F kz vex
EVEX.F3 0F 38 23    VPMOVSDW            Whx,Vx            AVX512F w0 kz
EVEX.66 0F 38 24    VPMOVSXWQ           Vx,Wqx            AVX512F kz vex
EVEX.F3 0F 38 24    VPMOVSQW            Wqx,Vx            AVX512F w0 kz
EVEX.66 0F 38 25    VPMOVSXDQ           Vx,Whx            AVX512F w0 kz vex
EVEX.F3 0F 38 25    VPMOVSQD            Whx,Vx            AVX512F w0 kz
EVEX.66 0F 38 26    VPTESTMB            kG,Hx,Wx          AVX512BW w0 k
EVEX.66 0F 38 26    VPTESTMW            kG,Hx,Wx          AVX512BW w1 k
EVEX.F3 0F 38 26    VPTESTNMB           kG,Hx,Wx          AVX512BW w0 k
EVEX.F3 0F 38 26    VPTESTNMW           kG,Hx,Wx          AVX512BW w1 k
EVEX.66 0F 38 27    VPTESTMD            kG,Hx,Wx          AVX512F w0 k bd
EVEX.66 0F 38 27    VPTESTMQ            kG,Hx,Wx          AVX512F w1 k bq
EVEX.F3 0F 38 27    VPTESTNMD           kG,Hx,Wx          AVX512F w0 k bd
EVEX.F3 0F 38 27    VPTESTNMQ           kG,Hx,Wx          AVX512F w1 k bq
EVEX.66 0F 38 28    VPMULDQ             Vx,Hx,Wx          AVX512F w1 kz bq vex
EVEX.F3 0F 38 28    VPMOVM2B            Vx,kR             AVX512BW w0
EVEX.F3 0F 38 28    VPMOVM2W            Vx,kR             AVX512BW w1
EVEX.66 0F 38 29    VPCMPEQQ            kG,Hx,Wx          AVX512F w1 k bq
EVEX.F3 0F 38 29    VPMOVB2M            kG,Ux             AVX512BW w0
EVEX.F3 0F 38 29    VPMOVW2M            kG,Ux             AVX512BW w1
EVEX.66 0F 38 2A    VMOVNTDQA           Vx,Mx             AVX512F w0 vex
EVEX.F3 0F 38 2A    VPBROADCASTMB2Q     Vx,kR             AVX512CD w1
EVEX.66 0F 38 2B    VPACKUSDW           Vx,Hx,Wx          AVX512BW w0 kz whole bd vex
EVEX.66 0F 38 2C    VSCALEFPS           Vx,Hx,Wx          AVX512F w0 kz bd er
EVEX.66 0F 38 2C    VSCALEFPD           Vx,Hx,Wx          AVX512F w1 kz bq er
EVEX.66 0F 38 2D    VSCALEFSS           Vdq,Hdq,Wd        AVX512F w0 kz er
EVEX.66 0F 38 2D    VSCALEFSD           Vdq,Hdq,Wq        AVX512F w1 kz er
EVEX.66 0F 38 30    VPMOVZXBW           Vx,Whx            AVX512BW kz vex
EVEX.F3 0F 38 30    VPMOVWB             Whx,Vx            AVX512BW w0 kz
EVEX.66 0F 38 31    VPMOVZXBD           Vx,Wqx            AVX512F kz vex
EVEX.F3 0F 38 31    VPMOVDB             Wqx,Vx            AVX512F w0 kz
EVEX.66 0F 38 32    VPMOVZXBQ           Vx,Wex            AVX512F kz vex
EVEX.F3 0F 38 32    VPMOVQB             Wex,Vx            AVX512F w0 kz
EVEX.66 0F 38 33    VPMOVZXWD           Vx,Whx            AVX512F kz vex
EVEX.F3 0F 38 33    VPMOVDW             Whx,Vx            AVX512F w0 kz
EVEX.66 0F 38 34    VPMOVZXWQ           Vx,Wqx            AVX512F kz vex
EVEX.F3 0F 38 34    VPMOVQW             Wqx,Vx            AVX512F w0 kz
EVEX.66 0F 38 35    VPMOVZXDQ           Vx,Whx            AVX512F w0 kz vex
EVEX.F3 0F 38 35    VPMOVQD             Whx,Vx            AVX512F w0 kz
EVEX.66 0F 38 36    VPERMD              Vx,Hx,Wx          AVX512F w0 l12 kz whole bd vex
EVEX.66 0F 38 36    VPERMQ              Vx,Hx,Wx          AVX512F w1 l12 kz whole bq
EVEX.66 0F 38 37    VPCMPGTQ            kG,Hx,Wx          AVX512F w1 k bq
EVEX.66 0F 38 38    VPMINSB             Vx,Hx,Wx          AVX512BW kz vex
EVEX.F3 0F 38 38    VPMOVM2D            Vx,kR             AVX512DQ w0
EVEX.F3 0F 38 38    VPMOVM2Q            Vx,kR             AVX512DQ w1
EVEX.66 0F 38 39    VPMINSD             Vx,Hx,Wx          AVX512F w0 kz bd vex
EVEX.66 0F 38 39    VPMINSQ             Vx,Hx,Wx          AVX512F w1 kz bq
EVEX.F3 0F 38 39    VPMOVD2M            kG,Ux             AVX512DQ w0
EVEX.F3 0F 38 39    VPMOVQ2M            kG,Ux             AVX512DQ w1
EVEX.66 0F 38 3A    VPMINUW             Vx,Hx,Wx          AVX512BW kz vex
EVEX.F3 0F 38 3A    VPBROADCASTMW2D     Vx,kR             AVX512CD w0
EVEX.66 0F 38 3B    VPMINUD             Vx,Hx,Wx          AVX512F w0 kz bd vex
EVEX.66 0F 38 3B    VPMINUQ             Vx,Hx,Wx          AVX512F w1 kz bq
EVEX.66 0F 38 3C    VPMAXSB             Vx,Hx,Wx          AVX512BW kz vex
EVEX.66 0F 38 3D    VPMAXSD             Vx,Hx,Wx          AVX512F w0 kz bd vex
EVEX.66 0F 38 3D    VPMAXSQ             Vx,Hx,Wx          AVX512F w1 kz bq
EVEX.66 0F 38 3E    VPMAXUW             Vx,Hx,Wx          AVX512BW kz vex
EVEX.66 0F 38 3F    VPMAXUD             Vx,Hx,Wx          AVX512F w0 kz bd vex
EVEX.66 0F 38 3F    VPMAXUQ             Vx,Hx,Wx          AVX512F w1 kz bq
EVEX.66 0F 38 40    VPMULLD             Vx,Hx,Wx          AVX512F w0 kz bd vex
EVEX.66 0F 38 40    VPMULLQ             Vx,Hx,Wx          AVX512DQ w1 kz bq
EVEX.66 0F 38 42    VGETEXPPS           Vx,Wx             AVX512F w0 kz bd sae
EVEX.66 0F 38 42    VGETEXPPD           Vx,Wx             AVX512F w1 kz bq sae
EVEX.66 0F 38 43    VGETEXPSS           Vdq,Hdq,Wd        AVX512F w0 kz sae
EVEX.66 0F 38 43    VGETEXPSD           Vdq,Hdq,Wq        AVX512F w1 kz sae
EVEX.66 0F 38 44    VPLZCNTD            Vx,Wx             AVX512CD w0 kz bd
EVEX.66 0F 38 44    VPLZCNTQ            Vx,Wx             AVX512CD w1 kz bq
EVEX.66 0F 38 45    VPSRLVD             Vx,Hx,Wx          AVX512F w0 kz bd vex
EVEX.66 0F 38 45    VPSRLVQ             Vx,Hx,Wx          AVX512F w1 kz bq vex
EVEX.66 0F 38 46    VPSRAVD             Vx,Hx,Wx          AVX512F w0 kz bd vex
EVEX.66 0F 38 46    VPSRAVQ             Vx,Hx,Wx          AVX512F w1 kz bq
EVEX.66 0F 38 47    VPSLLVD             Vx,Hx,Wx          AVX512F w0 kz bd vex
EVEX.66 0F 38 47    VPSLLVQ             Vx,Hx,Wx          AVX512F w1 kz bq vex
EVEX.66 0F 38 4C    VRCP14PS            Vx,Wx             AVX512F w0 kz bd
EVEX.66 0F 38 4C    VRCP14PD            Vx,Wx             AVX512F w1 kz bq
EVEX.66 0F 38 4D    VRCP14SS            Vdq,Hdq,Wd        AVX512F w0 kz
EVEX.66 0F 38 4D    VRCP14SD            Vdq,Hdq,Wq        AVX512F w1 kz
EVEX.66 0F 38 4E    VRSQRT14PS          Vx,Wx             AVX512F w0 kz bd
EVEX.66 0F 38 4E    VRSQRT14PD          Vx,Wx             AVX512F w1 kz bq
EVEX.66 0F 38 4F    VRSQRT14SS          Vdq,Hdq,Wd        AVX512F w0 kz
EVEX.66 0F 38 4F    VRSQRT14SD          Vdq,Hdq,Wq        AVX512F w1 kz
EVEX.66 0F 38 50    VPDPBUSD            Vx,Hx,Wx          AVX512_VNNI w0 kz bd
EVEX.66 0F 38 51    VPDPBUSDS           Vx,Hx,Wx          AVX512_VNNI w0 kz bd
EVEX.66 0F 38 52    VPDPWSSD            Vx,Hx,Wx          AVX512_VNNI w0 kz bd
EVEX.F3 0F 38 52    VDPBF16PS           Vx,Hx,Wx          AVX512F+AVX512_BF16 w0 kz bd
EVEX.F2 0F 38 52    VP4DPWSSD           Voq,Hoq,Mdq       AVX512_4VNNIW w0 l2 kz
EVEX.66 0F 38 53    VPDPWSSDS           Vx,Hx,Wx          AVX512_VNNI w0 kz bd
EVEX.F2 0F 38 53    VP4DPWSSDS          Voq,Hoq,Mdq       AVX512_4VNNIW w0 l2 kz
EVEX.66 0F 38 54    VPOPCNTB            Vx,Wx             AVX512_BITALG w0 kz
EVEX.66 0F 38 54    VPOPCNTW            Vx,Wx             AVX512_BITALG w1 kz
EVEX.66 0F 38 55    VPOPCNTD            Vx,Wx             AVX512_VPOPCNTDQ w0 kz bd
EVEX.66 0F 38 55    VPOPCNTQ            Vx,Wx             AVX512_VPOPCNTDQ w1 kz bq
EVEX.66 0F 38 58    VPBROADCASTD        Vx,Wd             AVX512F w0 kz vex
EVEX.66 0F 38 59    VBROADCASTI32X2     Vx,Wq             AVX512DQ w0 kz
EVEX.66 0F 38 59    VPBROADCASTQ        Vx,Wq             AVX512F w1 kz vex
EVEX.66 0F 38 5A    VBROADCASTI32X4     Vx,Mdq            AVX512F w0 l12 kz
EVEX.66 0F 38 5A    VBROADCASTI64X2     Vx,Mdq            AVX512DQ w1 l12 kz
EVEX.66 0F 38 5B    VBROADCASTI32X8     Voq,Mqq           AVX512DQ w0 l2 kz
EVEX.66 0F 38 5B    VBROADCASTI64X4     Voq,Mqq           AVX512F w1 l2 kz
EVEX.66 0F 38 62    VPEXPANDB           Vx,Wx             AVX512_VBMI2 w0 kz n1
EVEX.66 0F 38 62    VPEXPANDW           Vx,Wx             AVX512_VBMI2 w1 kz n2
EVEX.66 0F 38 63    VPCOMPRESSB         Wx,Vx             AVX512_VBMI2 w0 kz n1
EVEX.66 0F 38 63    VPCOMPRESSW         Wx,Vx             AVX512_VBMI2 w1 kz n2
EVEX.66 0F 38 64    VPBLENDMD           Vx,Hx,Wx          AVX512F w0 kz bd
EVEX.66 0F 38 64    VPBLENDMQ           Vx,Hx,Wx          AVX512F w1 kz bq
EVEX.66 0F 38 65    VBLENDMPS           Vx,Hx,Wx          AVX512F w0 kz bd
EVEX.66 0F 38 65    VBLENDMPD           Vx,Hx,Wx          AVX512F w1 kz bq
EVEX.66 0F 38 66    VPBLENDMB           Vx,Hx,Wx          AVX512BW w0 kz
EVEX.66 0F 38 66    VPBLENDMW           Vx,Hx,Wx          AVX512BW w1 kz
EVEX.F2 0F 38 68    VP2INTERSECTD       kG,Hx,Wx          AVX512F+AVX512_VP2INTERSECT w0 bd
EVEX.F2 0F 38 68    VP2INTERSECTQ       kG,Hx,Wx          AVX512F+AVX512_VP2INTERSECT w1 bq
EVEX.66 0F 38 70    VPSHLDVW            Vx,Hx,Wx          AVX512_VBMI2 w1 kz
EVEX.66 0F 38 71    VPSHLDVD            Vx,Hx,Wx          AVX512_VBMI2 w0 kz bd
EVEX.66 0F 38 71    VPSHLDVQ            Vx,Hx,Wx          AVX512_VBMI2 w1 kz bq
EVEX.66 0F 38 72    VPSHRDVW            Vx,Hx,Wx          AVX512_VBMI2 w1 kz
EVEX.F3 0F 38 72    VCVTNEPS2BF16       Vhx,Wx            AVX512F+AVX512_BF16 w0 kz bd
EVEX.F2 0F 38 72    VCVTNE2PS2BF16      Vx,Hx,Wx          AVX512F+AVX512_BF16 w0 kz whole bd
EVEX.66 0F 38 73    VPSHRDVD            Vx,Hx,Wx          AVX512_VBMI2 w0 kz bd
EVEX.66 0F 38 73    VPSHRDVQ            Vx,Hx,Wx          AVX512_VBMI2 w1 kz bq
EVEX.66 0F 38 75    VPERMI2B            Vx,Hx,Wx          AVX512_VBMI w0 kz whole
EVEX.66 0F 38 75    VPERMI2W            Vx,Hx,Wx          AVX512BW w1 kz whole
EVEX.66 0F 38 76    VPERMI2D            Vx,Hx,Wx          AVX512F w0 kz whole bd
EVEX.66 0F 38 76    VPERMI2Q            Vx,Hx,Wx          AVX512F w1 kz whole bq
EVEX.66 0F 38 77    VPERMI2PS           Vx,Hx,Wx          AVX512F w0 kz whole bd
EVEX.66 0F 38 77    VPERMI2PD           Vx,Hx,Wx          AVX512F w1 kz whole bq
EVEX.66 0F 38 78    VPBROADCASTB        Vx,Wb             AVX512BW w0 kz vex
EVEX.66 0F 38 79    VPBROADCASTW        Vx,Ww             AVX512BW w0 kz vex
EVEX.66 0F 38 7A    VPBROADCASTB        Vx,Rd             AVX512BW w0 kz
EVEX.66 0F 38 7B    VPBROADCASTW        Vx,Rd             AVX512BW w0 kz
EVEX.66 0F 38 7C    VPBROADCASTQ        Vx,Rq             AVX512F w1 kz o64
EVEX.66 0F 38 7C    VPBROADCASTD        Vx,Rd             AVX512F kz
EVEX.66 0F 38 7D    VPERMT2B            Vx,Hx,Wx          AVX512_VBMI w0 kz whole
EVEX.66 0F 38 7D    VPERMT2W            Vx,Hx,Wx          AVX512BW w1 kz whole
EVEX.66 0F 38 7E    VPERMT2D            Vx,Hx,Wx          AVX512F w0 kz whole bd
EVEX.66 0F 38 7E    VPERMT2Q            Vx,Hx,Wx          AVX512F w1 kz whole bq
EVEX.66 0F 38 7F    VPERMT2PS           Vx,Hx,Wx          AVX512F w0 kz whole bd
EVEX.66 0F 38 7F    VPERMT2PD           Vx,Hx,Wx          AVX512F w1 kz whole bq
EVEX.66 0F 38 83    VPMULTISHIFTQB      Vx,Hx,Wx          AVX512_VBMI w1 kz whole bq
EVEX.66 0F 38 88    VEXPANDPS           Vx,Wx             AVX512F w0 kz n4
EVEX.66 0F 38 88    VEXPANDPD           Vx,Wx             AVX512F w1 kz n8
EVEX.66 0F 38 89    VPEXPANDD           Vx,Wx             AVX512F w0 kz n4
EVEX.66 0F 38 89    VPEXPANDQ           Vx,Wx             AVX512F w1 kz n8
EVEX.66 0F 38 8A    VCOMPRESSPS         Wx,Vx             AVX512F w0 kz n4
EVEX.66 0F 38 8A    VCOMPRESSPD         Wx,Vx             AVX512F w1 kz n8
EVEX.66 0F 38 8B    VPCOMPRESSD         Wx,Vx             AVX512F w0 kz n4
EVEX.66 0F 38 8B    VPCOMPRESSQ         Wx,Vx             AVX512F w1 kz n8
EVEX.66 0F 38 8D    VPERMB              Vx,Hx,Wx          AVX512_VBMI w0 kz whole
EVEX.66 0F 38 8D    VPERMW              Vx,Hx,Wx          AVX512BW w1 kz whole
EVEX.66 0F 38 8F    VPSHUFBITQMB        kG,Hx,Wx          AVX512_BITALG w0 k
EVEX.66 0F 38 90    VPGATHERDD          Vx,vVd            AVX512F w0 kx distinct
EVEX.66 0F 38 90    VPGATHERDQ          Vx,vUq            AVX512F w1 kx distinct
EVEX.66 0F 38 91    VPGATHERQD          Vhx,vVd           AVX512F w0 kx distinct
EVEX.66 0F 38 91    VPGATHERQQ          Vx,vVq            AVX512F w1 kx distinct
EVEX.66 0F 38 92    VGATHERDPS          Vx,vVd            AVX512F w0 kx distinct
EVEX.66 0F 38 92    VGATHERDPD          Vx,vUq            AVX512F w1 kx distinct
EVEX.66 0F 38 93    VGATHERQPS          Vhx,vVd           AVX512F w0 kx distinct
EVEX.66 0F 38 93    VGATHERQPD          Vx,vVq            AVX512F w1 kx distinct
EVEX.66 0F 38 96    VFMADDSUB132PS      Vx,Hx,Wx          AVX512F w0 kz bd er vex
EVEX.66 0F 38 96    VFMADDSUB132PD      Vx,Hx,Wx          AVX512F w1 kz bq er vex
EVEX.66 0F 38 97    VFMSUBADD132PS      Vx,Hx,Wx          AVX512F w0 kz bd er vex
EVEX.66 0F 38 97    VFMSUBADD132PD      Vx,Hx,Wx          AVX512F w1 kz bq er vex
EVEX.66 0F 38 98    VFMADD132PS         Vx,Hx,Wx          AVX512F w0 kz bd er vex
EVEX.66 0F 38 98    VFMADD132PD         Vx,Hx,Wx          AVX512F w1 kz bq er vex
EVEX.66 0F 38 99    VFMADD132SS         Vdq,Hdq,Wd        AVX512F w0 kz er vex
EVEX.66 0F 38 99    VFMADD132SD         Vdq,Hdq,Wq        AVX512F w1 kz er vex
EVEX.66 0F 38 9A    VFMSUB132PS         Vx,Hx,Wx          AVX512F w0 kz bd er vex
EVEX.66 0F 38 9A    VFMSUB132PD         Vx,Hx,Wx          AVX512F w1 kz bq er vex
EVEX.F2 0F 38 9A    V4FMADDPS           Voq,Hoq,Mdq       AVX512_4FMAPS w0 l2 kz
EVEX.66 0F 38 9B    VFMSUB132SS         Vdq,Hdq,Wd        AVX512F w0 kz er vex
EVEX.66 0F 38 9B    VFMSUB132SD         Vdq,Hdq,Wq        AVX512F w1 kz er vex
EVEX.F2 0F 38 9B    V4FMADDSS           Vdq,Hdq,Mdq       AVX512_4FMAPS w0 kz
EVEX.66 0F 38 9C    VFNMADD132PS        Vx,Hx,Wx          AVX512F w0 kz bd er vex
EVEX.66 0F 38 9C    VFNMADD132PD        Vx,Hx,Wx          AVX512F w1 kz bq er vex
EVEX.66 0F 38 9D    VFNMADD132SS        Vdq,Hdq,Wd        AVX512F w0 kz er vex
EVEX.66 0F 38 9D    VFNMADD132SD        Vdq,Hdq,Wq        AVX512F w1 kz er vex
EVEX.66 0F 38 9E    VFNMSUB132PS        Vx,Hx,Wx          AVX512F w0 kz bd er vex
EVEX.66 0F 38 9E    VFNMSUB132PD        Vx,Hx,Wx          AVX512F w1 kz bq er vex
EVEX.66 0F 38 9F    VFNMSUB132SS        Vdq,Hdq,Wd        AVX512F w0 kz er vex
EVEX.66 0F 38 9F    VFNMSUB132SD        Vdq,Hdq,Wq        AVX512F w1 kz er vex
EVEX.66 0F 38 A0    VPSCATTERDD         vVd,Vx            AVX512F w0 kx
EVEX.66 0F 38 A0    VPSCATTERDQ         vUq,Vx            AVX512F w1 kx
EVEX.66 0F 38 A1    VPSCATTERQD         vVd,Vhx           AVX512F w0 kx
EVEX.66 0F 38 A1    VPSCATTERQQ         vVq,Vx            AVX512F w1 kx
EVEX.66 0F 38 A2    VSCATTERDPS         vVd,Vx            AVX512F w0 kx
EVEX.66 0F 38 A2    VSCATTERDPD         vUq,Vx            AVX512F w1 kx
EVEX.66 0F 38 A3    VSCATTERQPS         vVd,Vhx           AVX512F w0 kx
EVEX.66 0F 38 A3    VSCATTERQPD         vVq,Vx            AVX512F w1 kx
EVEX.66 0F 38 A6    VFMADDSUB213PS      Vx,Hx,Wx          AVX512F w0 kz bd er vex
EVEX.66 0F 38 A6    VFMADDSUB213PD      Vx,Hx,Wx          AVX512F w1 kz bq er vex
EVEX.66 0F 38 A7    VFMSUBADD213PS      Vx,Hx,Wx          AVX512F w0 kz bd er vex
EVEX.66 0F 38 A7    VFMSUBADD213PD      Vx,Hx,Wx          AVX512F w1 kz bq er vex
EVEX.66 0F 38 A8    VFMADD213PS         Vx,Hx,Wx          AVX512F w0 kz bd er vex
EVEX.66 0F 38 A8    VFMADD213PD         Vx,Hx,Wx          AVX512F w1 kz bq er vex
EVEX.66 0F 38 A9    VFMADD213SS         Vdq,Hdq,Wd        AVX512F w0 kz er vex
EVEX.66 0F 38 A9    VFMADD213SD         Vdq,Hdq,Wq        AVX512F w1 kz er vex
EVEX.66 0F 38 AA    VFMSUB213PS         Vx,Hx,Wx          AVX512F w0 kz bd er vex
EVEX.66 0F 38 AA    VFMSUB213PD         Vx,Hx,Wx          AVX512F w1 kz bq er vex
EVEX.F2 0F 38 AA    V4FNMADDPS          Voq,Hoq,Mdq       AVX512_4FMAPS w0 l2 kz
EVEX.66 0F 38 AB    VFMSUB213SS         Vdq,Hdq,Wd        AVX512F w0 kz er vex
EVEX.66 0F 38 AB    VFMSUB213SD         Vdq,Hdq,Wq        AVX512F w1 kz er vex
EVEX.F2 0F 38 AB    V4FNMADDSS          Vdq,Hdq,Mdq       AVX512_4FMAPS w0 kz
EVEX.66 0F 38 AC    VFNMADD213PS        Vx,Hx,Wx          AVX512F w0 kz bd er vex
EVEX.66 0F 38 AC    VFNMADD213PD        Vx,Hx,Wx          AVX512F w1 kz bq er vex
EVEX.66 0F 38 AD    VFNMADD213SS        Vdq,Hdq,Wd        AVX512F w0 kz er vex
EVEX.66 0F 38 AD    VFNMADD213SD        Vdq,Hdq,Wq        AVX512F w1 kz er vex
EVEX.66 0F 38 AE    VFNMSUB213PS        Vx,Hx,Wx          AVX512F w0 kz bd er vex
EVEX.66 0F 38 AE    VFNMSUB213PD        Vx,Hx,Wx          AVX512F w1 kz bq er vex
EVEX.66 0F 38 AF    VFNMSUB213SS        Vdq,Hdq,Wd        AVX512F w0 kz er vex
EVEX.66 0F 38 AF    VFNMSUB213SD        Vdq,Hdq,Wq        AVX512F w1 kz er vex
EVEX.66 0F 38 B4    VPMADD52LUQ         Vx,Hx,Wx          AVX512_IFMA w1 kz bq
EVEX.66 0F 38 B5    VPMADD52HUQ         Vx,Hx,Wx          AVX512_IFMA w1 kz bq
EVEX.66 0F 38 B6    VFMADDSUB231PS      Vx,Hx,Wx          AVX512F w0 kz bd er vex
EVEX.66 0F 38 B6    VFMADDSUB231PD      Vx,Hx,Wx          AVX512F w1 kz bq er vex
EVEX.66 0F 38 B7    VFMSUBADD231PS      Vx,Hx,Wx          AVX512F w0 kz bd er vex
EVEX.66 0F 38 B7    VFMSUBADD231PD      Vx,Hx,Wx          AVX512F w1 kz bq er vex
EVEX.66 0F 38 B8    VFMADD231PS         Vx,Hx,Wx          AVX512F w0 kz bd er vex
EVEX.66 0F 38 B8    VFMADD231PD         Vx,Hx,Wx          AVX512F w1 kz bq er vex
EVEX.66 0F 38 B9    VFMADD231SS         Vdq,Hdq,Wd        AVX512F w0 kz er vex
EVEX.66 0F 38 B9    VFMADD231SD         Vdq,Hdq,Wq        AVX512F w1 kz er vex
EVEX.66 0F 38 BA    VFMSUB231PS         Vx,Hx,Wx          AVX512F w0 kz bd er vex
EVEX.66 0F 38 BA    VFMSUB231PD         Vx,Hx,Wx          AVX512F w1 kz bq er vex
EVEX.66 0F 38 BB    VFMSUB231SS         Vdq,Hdq,Wd        AVX512F w0 kz er vex
EVEX.66 0F 38 BB    VFMSUB231SD         Vdq,Hdq,Wq        AVX512F w1 kz er vex
EVEX.66 0F 38 BC    VFNMADD231PS        Vx,Hx,Wx          AVX512F w0 kz bd er vex
EVEX.66 0F 38 BC    VFNMADD231PD        Vx,Hx,Wx          AVX512F w1 kz bq er vex
EVEX.66 0F 38 BD    VFNMADD231SS        Vdq,Hdq,Wd        AVX512F w0 kz er vex
EVEX.66 0F 38 BD    VFNMADD231SD        Vdq,Hdq,Wq        AVX512F w1 kz er vex
EVEX.66 0F 38 BE    VFNMSUB231PS        Vx,Hx,Wx          AVX512F w0 kz bd er vex
EVEX.66 0F 38 BE    VFNMSUB231PD        Vx,Hx,Wx          AVX512F w1 kz bq er vex
EVEX.66 0F 38 BF    VFNMSUB231SS        Vdq,Hdq,Wd        AVX512F w0 kz er vex
EVEX.66 0F 38 BF    VFNMSUB231SD        Vdq,Hdq,Wq        AVX512F w1 kz er vex
EVEX.66 0F 38 C4    VPCONFLICTD         Vx,Wx             AVX512CD w0 kz whole bd
EVEX.66 0F 38 C4    VPCONFLICTQ         Vx,Wx             AVX512CD w1 kz whole bq
EVEX.66 0F 38 C6 /1  VGATHERPF0DPS       vzd               AVX512PF w0 l2 kx
EVEX.66 0F 38 C6 /1  VGATHERPF0DPD       vyq               AVX512PF w1 l2 kx
EVEX.66 0F 38 C6 /2  VGATHERPF1DPS       vzd               AVX512PF w0 l2 kx
EVEX.66 0F 38 C6 /2  VGATHERPF1DPD       vyq               AVX512PF w1 l2 kx
EVEX.66 0F 38 C6 /5  VSCATTERPF0DPS      vzd               AVX512PF w0 l2 kx
EVEX.66 0F 38 C6 /5  VSCATTERPF0DPD      vyq               AVX512PF w1 l2 kx
EVEX.66 0F 38 C6 /6  VSCATTERPF1DPS      vzd               AVX512PF w0 l2 kx
EVEX.66 0F 38 C6 /6  VSCATTERPF1DPD      vyq               AVX512PF w1 l2 kx
EVEX.66 0F 38 C7 /1  VGATHERPF0QPS       vzd               AVX512PF w0 l2 kx
EVEX.66 0F 38 C7 /1  VGATHERPF0QPD       vzq               AVX512PF w1 l2 kx
EVEX.66 0F 38 C7 /2  VGATHERPF1QPS       vzd               AVX512PF w0 l2 kx
EVEX.66 0F 38 C7 /2  VGATHERPF1QPD       vzq               AVX512PF w1 l2 kx
EVEX.66 0F 38 C7 /5  VSCATTERPF0QPS      vzd               AVX512PF w0 l2 kx
EVEX.66 0F 38 C7 /5  VSCATTERPF0QPD      vzq               AVX512PF w1 l2 kx
EVEX.66 0F 38 C7 /6  VSCATTERPF1QPS      vzd               AVX512PF w0 l2 kx
EVEX.66 0F 38 C7 /6  VSCATTERPF1QPD      vzq               AVX512PF w1 l2 kx
EVEX.66 0F 38 C8    VEXP2PS             Voq,Woq           AVX512ER w0 l2 kz bd sae
EVEX.66 0F 38 C8    VEXP2PD             Voq,Woq           AVX512ER w1 l2 kz bq sae
EVEX.66 0F 38 CA    VRCP28PS            Voq,Woq           AVX512ER w0 l2 kz bd sae
EVEX.66 0F 38 CA    VRCP28PD            Voq,Woq           AVX512ER w1 l2 kz bq sae
EVEX.66 0F 38 CB    VRCP28SS            Vdq,Hdq,Wd        AVX512ER w0 kz sae
EVEX.66 0F 38 CB    VRCP28SD            Vdq,Hdq,Wq        AVX512ER w1 kz sae
EVEX.66 0F 38 CC    VRSQRT28PS          Voq,Woq           AVX512ER w0 l2 kz bd sae
EVEX.66 0F 38 CC    VRSQRT28PD          Voq,Woq           AVX512ER w1 l2 kz bq sae
EVEX.66 0F 38 CD    VRSQRT28SS          Vdq,Hdq,Wd        AVX512ER w0 kz sae
EVEX.66 0F 38 CD    VRSQRT28SD          Vdq,Hdq,Wq        AVX512ER w1 kz sae
EVEX.66 0F 38 CF    VGF2P8MULB          Vx,Hx,Wx          AVX512F+GFNI w0 kz vex
EVEX.66 0F 38 DC    VAESENC             Vx,Hx,Wx          AVX512F+VAES vex
EVEX.66 0F 38 DD    VAESENCLAST         Vx,Hx,Wx          AVX512F+VAES vex
EVEX.66 0F 38 DE    VAESDEC             Vx,Hx,Wx          AVX512F+VAES vex
EVEX.66 0F 38 DF    VAESDECLAST         Vx,Hx,Wx          AVX512F+VAES vex
`
