/**
 * AVX-512 instructions of EVEX map 2 (0F 38), with those of the Xeon Phi processors (ER, PF, 4FMAPS, 4VNNIW).
 *
 * Source: Intel SDM vol. 2A to 2C, each instruction's page; vol. 2A, "Intel AVX-512 Encoding".
 */
export const evex0f38Rows: string = `
EVEX.66 0F 38 10    VPSRLVW             Vx,Hx,Wx          AVX512BW E4 w1 kz e2
EVEX.F3 0F 38 10    VPMOVUSWB           Whx,Vx            AVX512BW E6 w0 kz e1
EVEX.66 0F 38 11    VPSRAVW             Vx,Hx,Wx          AVX512BW E4 w1 kz e2
EVEX.F3 0F 38 11    VPMOVUSDB           Wqx,Vx            AVX512F E6 w0 kz e1
EVEX.66 0F 38 12    VPSLLVW             Vx,Hx,Wx          AVX512BW E4 w1 kz e2
EVEX.F3 0F 38 12    VPMOVUSQB           Wex,Vx            AVX512F E6 w0 kz e1
EVEX.F3 0F 38 13    VPMOVUSDW           Whx,Vx            AVX512F E6 w0 kz e2
EVEX.66 0F 38 14    VPRORVD             Vx,Hx,Wx          AVX512F E4 w0 kz bd
EVEX.66 0F 38 14    VPRORVQ             Vx,Hx,Wx          AVX512F E4 w1 kz bq
EVEX.F3 0F 38 14    VPMOVUSQW           Wqx,Vx            AVX512F E6 w0 kz e2
EVEX.66 0F 38 15    VPROLVD             Vx,Hx,Wx          AVX512F E4 w0 kz bd
EVEX.66 0F 38 15    VPROLVQ             Vx,Hx,Wx          AVX512F E4 w1 kz bq
EVEX.F3 0F 38 15    VPMOVUSQD           Whx,Vx            AVX512F E6 w0 kz e4
EVEX.66 0F 38 16    VPERMPS             Vx,Hx,Wx          AVX512F E4NF w0 l12 kz bd as=VPERMD vex
EVEX.66 0F 38 16    VPERMPD             Vx,Hx,Wx          AVX512F E4NF w1 l12 kz bq as=VPERMQ
EVEX.66 0F 38 18    VBROADCASTSS        Vx,Wd             AVX512F E6 w0 kz e4 vex
EVEX.66 0F 38 19    VBROADCASTF32X2     Vx,Wq             AVX512DQ E6 w0 l12 kz e4 as=VBROADCASTSD
EVEX.66 0F 38 19    VBROADCASTSD        Vx,Wq             AVX512F E6 w1 l12 kz e8 vex
EVEX.66 0F 38 1A    VBROADCASTF32X4     Vx,Mdq            AVX512F E6 w0 l12 kz e4 as=VBROADCASTF128
EVEX.66 0F 38 1A    VBROADCASTF64X2     Vx,Mdq            AVX512DQ E6 w1 l12 kz e8 as=VBROADCASTF128
EVEX.66 0F 38 1B    VBROADCASTF32X8     Voq,Mqq           AVX512DQ E6 w0 l2 kz e4 as=VBROADCASTF128
EVEX.66 0F 38 1B    VBROADCASTF64X4     Voq,Mqq           AVX512F E6 w1 l2 kz e8 as=VBROADCASTF128
EVEX.66 0F 38 1F    VPABSQ              Vx,Wx             AVX512F E4 w1 kz bq
EVEX.F3 0F 38 20    VPMOVSWB            Whx,Vx            AVX512BW E6 w0 kz e1
EVEX.F3 0F 38 21    VPMOVSDB            Wqx,Vx            AVX512F E6 w0 kz e1
EVEX.F3 0F 38 22    VPMOVSQB            Wex,Vx            AVX512F E6 w0 kz e1
EVEX.F3 0F 38 23    VPMOVSDW            Whx,Vx            AVX512F E6 w0 kz e2
EVEX.F3 0F 38 24    VPMOVSQW            Wqx,Vx            AVX512F E6 w0 kz e2
EVEX.F3 0F 38 25    VPMOVSQD            Whx,Vx            AVX512F E6 w0 kz e4
EVEX.66 0F 38 26    VPTESTMB            kG,Hx,Wx          AVX512BW E4 w0 k e1
EVEX.66 0F 38 26    VPTESTMW            kG,Hx,Wx          AVX512BW E4 w1 k e2
EVEX.F3 0F 38 26    VPTESTNMB           kG,Hx,Wx          AVX512BW E4 w0 k e1
EVEX.F3 0F 38 26    VPTESTNMW           kG,Hx,Wx          AVX512BW E4 w1 k e2
EVEX.66 0F 38 27    VPTESTMD            kG,Hx,Wx          AVX512F E4 w0 k bd
EVEX.66 0F 38 27    VPTESTMQ            kG,Hx,Wx          AVX512F E4 w1 k bq
EVEX.F3 0F 38 27    VPTESTNMD           kG,Hx,Wx          AVX512F E4 w0 k bd
EVEX.F3 0F 38 27    VPTESTNMQ           kG,Hx,Wx          AVX512F E4 w1 k bq
EVEX.F3 0F 38 28    VPMOVM2B            Vx,kR             AVX512BW E7NM w0
EVEX.F3 0F 38 28    VPMOVM2W            Vx,kR             AVX512BW E7NM w1
EVEX.66 0F 38 29    VPCMPEQQ            kG,Hx,Wx          AVX512F E4 w1 k bq
EVEX.F3 0F 38 29    VPMOVB2M            kG,Ux             AVX512BW E7NM w0
EVEX.F3 0F 38 29    VPMOVW2M            kG,Ux             AVX512BW E7NM w1
EVEX.F3 0F 38 2A    VPBROADCASTMB2Q     Vx,kR             AVX512CD E6NF w1
EVEX.66 0F 38 2C    VSCALEFPS           Vx,Hx,Wx          AVX512F E2 w0 kz bd er
EVEX.66 0F 38 2C    VSCALEFPD           Vx,Hx,Wx          AVX512F E2 w1 kz bq er
EVEX.66 0F 38 2D    VSCALEFSS           Vdq,Hdq,Wd        AVX512F E3 w0 kz e4 er
EVEX.66 0F 38 2D    VSCALEFSD           Vdq,Hdq,Wq        AVX512F E3 w1 kz e8 er
EVEX.F3 0F 38 30    VPMOVWB             Whx,Vx            AVX512BW E6 w0 kz e1
EVEX.F3 0F 38 31    VPMOVDB             Wqx,Vx            AVX512F E6 w0 kz e1
EVEX.F3 0F 38 32    VPMOVQB             Wex,Vx            AVX512F E6 w0 kz e1
EVEX.F3 0F 38 33    VPMOVDW             Whx,Vx            AVX512F E6 w0 kz e2
EVEX.F3 0F 38 34    VPMOVQW             Wqx,Vx            AVX512F E6 w0 kz e2
EVEX.F3 0F 38 35    VPMOVQD             Whx,Vx            AVX512F E6 w0 kz e4
EVEX.66 0F 38 36    VPERMD              Vx,Hx,Wx          AVX512F E4NF w0 l12 kz bd vex
EVEX.66 0F 38 36    VPERMQ              Vx,Hx,Wx          AVX512F E4NF w1 l12 kz bq
EVEX.66 0F 38 37    VPCMPGTQ            kG,Hx,Wx          AVX512F E4 w1 k bq
EVEX.F3 0F 38 38    VPMOVM2D            Vx,kR             AVX512DQ E7NM w0
EVEX.F3 0F 38 38    VPMOVM2Q            Vx,kR             AVX512DQ E7NM w1
EVEX.66 0F 38 39    VPMINSQ             Vx,Hx,Wx          AVX512F E4 w1 kz bq
EVEX.F3 0F 38 39    VPMOVD2M            kG,Ux             AVX512DQ E7NM w0
EVEX.F3 0F 38 39    VPMOVQ2M            kG,Ux             AVX512DQ E7NM w1
EVEX.F3 0F 38 3A    VPBROADCASTMW2D     Vx,kR             AVX512CD E6NF w0
EVEX.66 0F 38 3B    VPMINUQ             Vx,Hx,Wx          AVX512F E4 w1 kz bq
EVEX.66 0F 38 3D    VPMAXSQ             Vx,Hx,Wx          AVX512F E4 w1 kz bq
EVEX.66 0F 38 3F    VPMAXUQ             Vx,Hx,Wx          AVX512F E4 w1 kz bq
EVEX.66 0F 38 40    VPMULLQ             Vx,Hx,Wx          AVX512DQ E4 w1 kz bq
EVEX.66 0F 38 42    VGETEXPPS           Vx,Wx             AVX512F E2 w0 kz bd sae
EVEX.66 0F 38 42    VGETEXPPD           Vx,Wx             AVX512F E2 w1 kz bq sae
EVEX.66 0F 38 43    VGETEXPSS           Vdq,Hdq,Wd        AVX512F E3 w0 kz e4 sae
EVEX.66 0F 38 43    VGETEXPSD           Vdq,Hdq,Wq        AVX512F E3 w1 kz e8 sae
EVEX.66 0F 38 44    VPLZCNTD            Vx,Wx             AVX512CD E4 w0 kz bd
EVEX.66 0F 38 44    VPLZCNTQ            Vx,Wx             AVX512CD E4 w1 kz bq
EVEX.66 0F 38 46    VPSRAVQ             Vx,Hx,Wx          AVX512F E4 w1 kz bq
EVEX.66 0F 38 4C    VRCP14PS            Vx,Wx             AVX512F E4 w0 kz bd
EVEX.66 0F 38 4C    VRCP14PD            Vx,Wx             AVX512F E4 w1 kz bq
EVEX.66 0F 38 4D    VRCP14SS            Vdq,Hdq,Wd        AVX512F E10 w0 kz e4
EVEX.66 0F 38 4D    VRCP14SD            Vdq,Hdq,Wq        AVX512F E10 w1 kz e8
EVEX.66 0F 38 4E    VRSQRT14PS          Vx,Wx             AVX512F E4 w0 kz bd
EVEX.66 0F 38 4E    VRSQRT14PD          Vx,Wx             AVX512F E4 w1 kz bq
EVEX.66 0F 38 4F    VRSQRT14SS          Vdq,Hdq,Wd        AVX512F E10 w0 kz e4
EVEX.66 0F 38 4F    VRSQRT14SD          Vdq,Hdq,Wq        AVX512F E10 w1 kz e8
EVEX.66 0F 38 50    VPDPBUSD            Vx,Hx,Wx          AVX512_VNNI E4 w0 kz bd
EVEX.66 0F 38 51    VPDPBUSDS           Vx,Hx,Wx          AVX512_VNNI E4 w0 kz bd
EVEX.66 0F 38 52    VPDPWSSD            Vx,Hx,Wx          AVX512_VNNI E4 w0 kz bd
EVEX.F3 0F 38 52    VDPBF16PS           Vx,Hx,Wx          AVX512F+AVX512_BF16 E4 w0 kz bd
EVEX.F2 0F 38 52    VP4DPWSSD           Voq,Hoq,Mdq       AVX512_4VNNIW E4 w0 l2 kz e4
EVEX.66 0F 38 53    VPDPWSSDS           Vx,Hx,Wx          AVX512_VNNI E4 w0 kz bd
EVEX.F2 0F 38 53    VP4DPWSSDS          Voq,Hoq,Mdq       AVX512_4VNNIW E4 w0 l2 kz e4
EVEX.66 0F 38 54    VPOPCNTB            Vx,Wx             AVX512_BITALG E4 w0 kz e1
EVEX.66 0F 38 54    VPOPCNTW            Vx,Wx             AVX512_BITALG E4 w1 kz e2
EVEX.66 0F 38 55    VPOPCNTD            Vx,Wx             AVX512_VPOPCNTDQ E4 w0 kz bd
EVEX.66 0F 38 55    VPOPCNTQ            Vx,Wx             AVX512_VPOPCNTDQ E4 w1 kz bq
EVEX.66 0F 38 59    VBROADCASTI32X2     Vx,Wq             AVX512DQ E6 w0 kz e4 as=VBROADCASTSD
EVEX.66 0F 38 5A    VBROADCASTI32X4     Vx,Mdq            AVX512F E6 w0 l12 kz e4 as=VBROADCASTF128
EVEX.66 0F 38 5A    VBROADCASTI64X2     Vx,Mdq            AVX512DQ E6 w1 l12 kz e8 as=VBROADCASTF128
EVEX.66 0F 38 5B    VBROADCASTI32X8     Voq,Mqq           AVX512DQ E6 w0 l2 kz e4 as=VBROADCASTF128
EVEX.66 0F 38 5B    VBROADCASTI64X4     Voq,Mqq           AVX512F E6 w1 l2 kz e8 as=VBROADCASTF128
EVEX.66 0F 38 62    VPEXPANDB           Vx,Wx             AVX512_VBMI2 E4 w0 kz e1 n1 as=VPEXPANDD
EVEX.66 0F 38 62    VPEXPANDW           Vx,Wx             AVX512_VBMI2 E4 w1 kz e2 n2 as=VPEXPANDD
EVEX.66 0F 38 63    VPCOMPRESSB         Wx,Vx             AVX512_VBMI2 E4 w0 kz e1 n1 as=VPCOMPRESSD
EVEX.66 0F 38 63    VPCOMPRESSW         Wx,Vx             AVX512_VBMI2 E4 w1 kz e2 n2 as=VPCOMPRESSD
EVEX.66 0F 38 64    VPBLENDMD           Vx,Hx,Wx          AVX512F E4 w0 kz bd
EVEX.66 0F 38 64    VPBLENDMQ           Vx,Hx,Wx          AVX512F E4 w1 kz bq as=VPBLENDMD
EVEX.66 0F 38 65    VBLENDMPS           Vx,Hx,Wx          AVX512F E4 w0 kz bd as=VPBLENDMD
EVEX.66 0F 38 65    VBLENDMPD           Vx,Hx,Wx          AVX512F E4 w1 kz bq as=VPBLENDMD
EVEX.66 0F 38 66    VPBLENDMB           Vx,Hx,Wx          AVX512BW E4 w0 kz e1 as=VPBLENDMD
EVEX.66 0F 38 66    VPBLENDMW           Vx,Hx,Wx          AVX512BW E4 w1 kz e2 as=VPBLENDMD
EVEX.F2 0F 38 68    VP2INTERSECTD       kG,Hx,Wx          AVX512F+AVX512_VP2INTERSECT E4NF w0 bd
EVEX.F2 0F 38 68    VP2INTERSECTQ       kG,Hx,Wx          AVX512F+AVX512_VP2INTERSECT E4NF w1 bq
EVEX.66 0F 38 70    VPSHLDVW            Vx,Hx,Wx          AVX512_VBMI2 E4 w1 kz e2
EVEX.66 0F 38 71    VPSHLDVD            Vx,Hx,Wx          AVX512_VBMI2 E4 w0 kz bd
EVEX.66 0F 38 71    VPSHLDVQ            Vx,Hx,Wx          AVX512_VBMI2 E4 w1 kz bq
EVEX.66 0F 38 72    VPSHRDVW            Vx,Hx,Wx          AVX512_VBMI2 E4 w1 kz e2
EVEX.F3 0F 38 72    VCVTNEPS2BF16       Vhx,Wx            AVX512F+AVX512_BF16 E4 w0 kz e2 bd
EVEX.F2 0F 38 72    VCVTNE2PS2BF16      Vx,Hx,Wx          AVX512F+AVX512_BF16 E4NF w0 kz e2 bd
EVEX.66 0F 38 73    VPSHRDVD            Vx,Hx,Wx          AVX512_VBMI2 E4 w0 kz bd
EVEX.66 0F 38 73    VPSHRDVQ            Vx,Hx,Wx          AVX512_VBMI2 E4 w1 kz bq
EVEX.66 0F 38 75    VPERMI2B            Vx,Hx,Wx          AVX512_VBMI E4NF w0 kz e1
EVEX.66 0F 38 75    VPERMI2W            Vx,Hx,Wx          AVX512BW E4NF w1 kz e2
EVEX.66 0F 38 76    VPERMI2D            Vx,Hx,Wx          AVX512F E4NF w0 kz bd
EVEX.66 0F 38 76    VPERMI2Q            Vx,Hx,Wx          AVX512F E4NF w1 kz bq
EVEX.66 0F 38 77    VPERMI2PS           Vx,Hx,Wx          AVX512F E4NF w0 kz bd as=VPERMI2D
EVEX.66 0F 38 77    VPERMI2PD           Vx,Hx,Wx          AVX512F E4NF w1 kz bq as=VPERMI2Q
EVEX.66 0F 38 7A    VPBROADCASTB        Vx,Rd             AVX512BW E7NM w0 kz e1
EVEX.66 0F 38 7B    VPBROADCASTW        Vx,Rd             AVX512BW E7NM w0 kz e2
EVEX.66 0F 38 7C    VPBROADCASTQ        Vx,Rq             AVX512F E7NM w1 kz e8 o64 as=VBROADCASTSD
EVEX.66 0F 38 7C    VPBROADCASTD        Vx,Rd             AVX512F E7NM kz e4 as=VBROADCASTSS
EVEX.66 0F 38 7D    VPERMT2B            Vx,Hx,Wx          AVX512_VBMI E4NF w0 kz e1
EVEX.66 0F 38 7D    VPERMT2W            Vx,Hx,Wx          AVX512BW E4NF w1 kz e2
EVEX.66 0F 38 7E    VPERMT2D            Vx,Hx,Wx          AVX512F E4NF w0 kz bd
EVEX.66 0F 38 7E    VPERMT2Q            Vx,Hx,Wx          AVX512F E4NF w1 kz bq
EVEX.66 0F 38 7F    VPERMT2PS           Vx,Hx,Wx          AVX512F E4NF w0 kz bd as=VPERMT2D
EVEX.66 0F 38 7F    VPERMT2PD           Vx,Hx,Wx          AVX512F E4NF w1 kz bq as=VPERMT2Q
EVEX.66 0F 38 83    VPMULTISHIFTQB      Vx,Hx,Wx          AVX512_VBMI E4NF w1 kz e1 bq
EVEX.66 0F 38 88    VEXPANDPS           Vx,Wx             AVX512F E4 w0 kz e4 n4 as=VPEXPANDD
EVEX.66 0F 38 88    VEXPANDPD           Vx,Wx             AVX512F E4 w1 kz e8 n8 as=VPEXPANDD
EVEX.66 0F 38 89    VPEXPANDD           Vx,Wx             AVX512F E4 w0 kz e4 n4
EVEX.66 0F 38 89    VPEXPANDQ           Vx,Wx             AVX512F E4 w1 kz e8 n8 as=VPEXPANDD
EVEX.66 0F 38 8A    VCOMPRESSPS         Wx,Vx             AVX512F E4 w0 kz e4 n4 as=VPCOMPRESSD
EVEX.66 0F 38 8A    VCOMPRESSPD         Wx,Vx             AVX512F E4 w1 kz e8 n8 as=VPCOMPRESSD
EVEX.66 0F 38 8B    VPCOMPRESSD         Wx,Vx             AVX512F E4 w0 kz e4 n4
EVEX.66 0F 38 8B    VPCOMPRESSQ         Wx,Vx             AVX512F E4 w1 kz e8 n8 as=VPCOMPRESSD
EVEX.66 0F 38 8D    VPERMB              Vx,Hx,Wx          AVX512_VBMI E4NF w0 kz e1
EVEX.66 0F 38 8D    VPERMW              Vx,Hx,Wx          AVX512BW E4NF w1 kz e2
EVEX.66 0F 38 8F    VPSHUFBITQMB        kG,Hx,Wx          AVX512_BITALG E4 w0 k e1
EVEX.66 0F 38 90    VPGATHERDD          Vx,vVd            AVX512F E12 w0 kx e4 distinct
EVEX.66 0F 38 90    VPGATHERDQ          Vx,vUq            AVX512F E12 w1 kx e8 distinct
EVEX.66 0F 38 91    VPGATHERQD          Vhx,vVd           AVX512F E12 w0 kx e4 distinct
EVEX.66 0F 38 91    VPGATHERQQ          Vx,vVq            AVX512F E12 w1 kx e8 distinct
EVEX.66 0F 38 92    VGATHERDPS          Vx,vVd            AVX512F E12 w0 kx e4 distinct as=VPGATHERDD
EVEX.66 0F 38 92    VGATHERDPD          Vx,vUq            AVX512F E12 w1 kx e8 distinct as=VPGATHERDQ
EVEX.66 0F 38 93    VGATHERQPS          Vhx,vVd           AVX512F E12 w0 kx e4 distinct as=VPGATHERQD
EVEX.66 0F 38 93    VGATHERQPD          Vx,vVq            AVX512F E12 w1 kx e8 distinct as=VPGATHERQQ
EVEX.F2 0F 38 9A    V4FMADDPS           Voq,Hoq,Mdq       AVX512_4FMAPS E2 w0 l2 kz e4
EVEX.F2 0F 38 9B    V4FMADDSS           Vdq,Hdq,Mdq       AVX512_4FMAPS E2 w0 kz e4
EVEX.66 0F 38 A0    VPSCATTERDD         vVd,Vx            AVX512F E12 w0 kx e4
EVEX.66 0F 38 A0    VPSCATTERDQ         vUq,Vx            AVX512F E12 w1 kx e8
EVEX.66 0F 38 A1    VPSCATTERQD         vVd,Vhx           AVX512F E12 w0 kx e4
EVEX.66 0F 38 A1    VPSCATTERQQ         vVq,Vx            AVX512F E12 w1 kx e8
EVEX.66 0F 38 A2    VSCATTERDPS         vVd,Vx            AVX512F E12 w0 kx e4 as=VPSCATTERDD
EVEX.66 0F 38 A2    VSCATTERDPD         vUq,Vx            AVX512F E12 w1 kx e8 as=VPSCATTERDQ
EVEX.66 0F 38 A3    VSCATTERQPS         vVd,Vhx           AVX512F E12 w0 kx e4 as=VPSCATTERQD
EVEX.66 0F 38 A3    VSCATTERQPD         vVq,Vx            AVX512F E12 w1 kx e8 as=VPSCATTERQQ
EVEX.F2 0F 38 AA    V4FNMADDPS          Voq,Hoq,Mdq       AVX512_4FMAPS E2 w0 l2 kz e4
EVEX.F2 0F 38 AB    V4FNMADDSS          Vdq,Hdq,Mdq       AVX512_4FMAPS E2 w0 kz e4
EVEX.66 0F 38 B4    VPMADD52LUQ         Vx,Hx,Wx          AVX512_IFMA E4 w1 kz bq
EVEX.66 0F 38 B5    VPMADD52HUQ         Vx,Hx,Wx          AVX512_IFMA E4 w1 kz bq
EVEX.66 0F 38 C4    VPCONFLICTD         Vx,Wx             AVX512CD E4NF w0 kz bd
EVEX.66 0F 38 C4    VPCONFLICTQ         Vx,Wx             AVX512CD E4NF w1 kz bq
EVEX.66 0F 38 C6 /1  VGATHERPF0DPS       vzd               AVX512PF E12NP w0 l2 kx e4
EVEX.66 0F 38 C6 /1  VGATHERPF0DPD       vyq               AVX512PF E12NP w1 l2 kx e8
EVEX.66 0F 38 C6 /2  VGATHERPF1DPS       vzd               AVX512PF E12NP w0 l2 kx e4
EVEX.66 0F 38 C6 /2  VGATHERPF1DPD       vyq               AVX512PF E12NP w1 l2 kx e8
EVEX.66 0F 38 C6 /5  VSCATTERPF0DPS      vzd               AVX512PF E12NP w0 l2 kx e4
EVEX.66 0F 38 C6 /5  VSCATTERPF0DPD      vyq               AVX512PF E12NP w1 l2 kx e8
EVEX.66 0F 38 C6 /6  VSCATTERPF1DPS      vzd               AVX512PF E12NP w0 l2 kx e4
EVEX.66 0F 38 C6 /6  VSCATTERPF1DPD      vyq               AVX512PF E12NP w1 l2 kx e8
EVEX.66 0F 38 C7 /1  VGATHERPF0QPS       vzd               AVX512PF E12NP w0 l2 kx e4
EVEX.66 0F 38 C7 /1  VGATHERPF0QPD       vzq               AVX512PF E12NP w1 l2 kx e8
EVEX.66 0F 38 C7 /2  VGATHERPF1QPS       vzd               AVX512PF E12NP w0 l2 kx e4
EVEX.66 0F 38 C7 /2  VGATHERPF1QPD       vzq               AVX512PF E12NP w1 l2 kx e8
EVEX.66 0F 38 C7 /5  VSCATTERPF0QPS      vzd               AVX512PF E12NP w0 l2 kx e4
EVEX.66 0F 38 C7 /5  VSCATTERPF0QPD      vzq               AVX512PF E12NP w1 l2 kx e8
EVEX.66 0F 38 C7 /6  VSCATTERPF1QPS      vzd               AVX512PF E12NP w0 l2 kx e4
EVEX.66 0F 38 C7 /6  VSCATTERPF1QPD      vzq               AVX512PF E12NP w1 l2 kx e8
EVEX.66 0F 38 C8    VEXP2PS             Voq,Woq           AVX512ER E2 w0 l2 kz bd sae
EVEX.66 0F 38 C8    VEXP2PD             Voq,Woq           AVX512ER E2 w1 l2 kz bq sae
EVEX.66 0F 38 CA    VRCP28PS            Voq,Woq           AVX512ER E2 w0 l2 kz bd sae
EVEX.66 0F 38 CA    VRCP28PD            Voq,Woq           AVX512ER E2 w1 l2 kz bq sae
EVEX.66 0F 38 CB    VRCP28SS            Vdq,Hdq,Wd        AVX512ER E3 w0 kz e4 sae
EVEX.66 0F 38 CB    VRCP28SD            Vdq,Hdq,Wq        AVX512ER E3 w1 kz e8 sae
EVEX.66 0F 38 CC    VRSQRT28PS          Voq,Woq           AVX512ER E2 w0 l2 kz bd sae
EVEX.66 0F 38 CC    VRSQRT28PD          Voq,Woq           AVX512ER E2 w1 l2 kz bq sae
EVEX.66 0F 38 CD    VRSQRT28SS          Vdq,Hdq,Wd        AVX512ER E3 w0 kz e4 sae
EVEX.66 0F 38 CD    VRSQRT28SD          Vdq,Hdq,Wq        AVX512ER E3 w1 kz e8 sae
`
