import type { JsonWebKey } from 'node:crypto'

/** A public key that signs parts of Debian's archive. */
export interface ArchiveKey {
  /** The identifier in OpenPGP signatures: the last 16 digits of the fingerprint. */
  readonly id: string
  /** Signatures that were made later are refused. */
  readonly expires: Date
  readonly key: JsonWebKey
}

const rsa = (n: string): JsonWebKey => ({ kty: 'RSA', e: 'AQAB', n })

/**
 * The keys that sign Debian 11 to 13, backports and sid, out of Debian's package debian-archive-keyring (2023.3+deb12u2). To compare
 * them: `gpg --show-keys --with-subkey-fingerprint /usr/share/keyrings/debian-archive-{bullseye,bookworm,trixie}-*.gpg`
 */
export const DEBIAN_KEYS: readonly ArchiveKey[] = [
  {
    // Debian Archive Automatic Signing Key (12/bookworm), subkey 4CB50190207B4758A3F73A796ED0E7B82643E131
    id: '6ED0E7B82643E131',
    expires: new Date('2031-01-19'),
    key: rsa(
      '5SIpEu4Q1OzxuuLRebzk3VEgbot-hz6HtLe8H6G7ZAwsyrJvJVcs-wwIKPiJI-sxe6HDO7fD6zfG9HNnTUcORg3FTMXTRAtOvwXru_Jlp3Kx_2DK1gW5UmAxEHFEaWR7cjFPQuScAiU9fgPKzk_7pB05m2Sb0fw4RTMZeSQFAamJtjM0aPsggk5w1yLj0vgYz-TLOcMWdQHxB8cPukGP-bxqkYaZSO_A9Q6BW0UlHte59yUgeQkJ6jiX6mml15BODy5nZ6VYioQ0BnQJuPpYv7Lahb8OGWYO4UeSC9_-EqVxO1AwYgfbZk1AqON6oqhVOePYkXeBDLzElD72dz9hkPddEgMIq0y-zRkHHBaChgdjcTzNGET_LHKq4Bf-7wFNohLg7fDm2XW2XoO_awg2NetvwVMBzB7i26jnG0mBKtiThJ1tQiiHYyCfbybDghq8_Qc0zdoVBr8WXpj9WQYsgKivVRN7f7129MAeSPDQtse6r2B5SK4OpHn6Fl35IEZMJ2KZl9MsLSxdrd1O8Xw2JLEHfJD_9NuWAmHgdLftDg4gxzZRZ5lRFOW8di_R8O0gpQJzqGXQind5oa15eA5XOtTbQJ5wcm1jbBSFyQTiXEyF9T2HXAQOwTwYHq6YAGFRC3q4WbpLIQFppqmgF5v_HIaEnlhHX5wVKb7ZnYBvALc',
    ),
  },
  {
    // Debian Security Archive Automatic Signing Key (12/bookworm), subkey B0CAB9266E8C3929798B3EEEBDE6D2B9216EC7A8
    id: 'BDE6D2B9216EC7A8',
    expires: new Date('2031-01-19'),
    key: rsa(
      '4NLsfgyRqLHc8kXgDQ_M8u1lzWNR22l1ue4MgJDS6ulZEnZY_lcRHWVGzicYUGdYS8_7j2CtPobTHgj3ydCBZiWKPep1NaANxje0wuVoqKK1poeZ3JyF_lVddcqN9wUB1Zb_z-dk0EEAlmODJ-86e3eQbbI24mhmKnXS2nUClCFuxKzE6GJ0MLPg4fQH1VctCLGLZzHe5RNsXRt1v_77n-P0a_HcURjFnEJTZQ_0b9i4FvqT7VyfYx4ur3YOV8VmNOHJPpDQTNaNZgqEj_I7SFTbCYzJrn6pcZ99AWx9wubwNAUMJwxLLEXruDtWu5ql2mK8uUfjk3d7ccjIeq4jNfreXmboxI4SYk7KthiCbvv3xb9dUOS_vMDj5kxWlDez4O9x9NGvSW1DROqdV7i1SfKnNRKWwcWGKi2Sh1pYnKtwYGKvzBTkVQrjIRWqJL-WbiQBS02TkQXrZBwYCdJ7N-Qf-sibTNZ8PeCg2JveRx55gmPNXW5kAcX4cuQtMC8KJGhrkVgQp7x_dVg41kseeDLCG-d8e-aJ7h9BmQdD9fvfNbDSbmxLhPtSfdcZCSN8bwLX6N4xETuy2MLIkmTr7vh4D8tF9fdNK00Ul4LA_G9JzIxAUD9H9nfYviXP5enV8cVOMSzvGyx9uDtBS4zqlkZr8GvAXXPW3P9J071Vy2s',
    ),
  },
  {
    // Debian Stable Release Key (12/bookworm), 4D64FEC119C2029067D6E791F8D2585B8783D481
    id: 'F8D2585B8783D481',
    expires: new Date('2031-01-21'),
    key: { kty: 'OKP', crv: 'Ed25519', x: 'd7Z0srwuhlB6JKFkcf4HU4SSS_xcRfwEQWzrcrf6AEo' },
  },
  {
    // Debian Archive Automatic Signing Key (11/bullseye), subkey A7236886F3CCCAAD148A27F80E98404D386FA1D9
    id: '0E98404D386FA1D9',
    expires: new Date('2029-01-15'),
    key: rsa(
      'vHIbiGfjtiqTxIoTTdq-40WUs_Q0VaDXj2TtyxUgNFk3KCJx_7pFIJkdKvp6neBghf9_zGyapLJyTOch6sCAJGavlMOqztKwY4jIx604eiX6yiImqCC6eZfpyWRUVPYoA55yr_cDq7Dgzck2W8Zd5JG2wyVIdN1LTArabef75VWv21n_80WWadKecA4BrOiYzc53vg17p8P3FF8UX06Xg1Lb2herAlLk2mwJTSd-jEQQAMVFUGYuIYVNsw3Qu0EvNyLOdOwa8qxk10EBp8Ro2BbpEVhj55N2WBBt0gvBe5TtMT6f4BSFVpaxXSV0KM2UV1SFN17WV1MF_JykEX3yHN1XUqC4Te-klbrGY9KteC0esHMUcykwQE_n0nlxGygPiQlTsh2EYacqpkZWahddk6pgNezyInvg8rJ7mOT3qig0c7p61fSUutvscxUkhFeQ-K_c6PThAMRlzGvGepnRK7abxLn9IsrftbhGen8pNZqJ9Q8jTHIQR-yzP-L991e1r5e-hoxIfjMfNpdCdVhAOg30IffXaTQ349hIOXFJUyKcGfYuHUlOCFEOX5bDwamVw5Kg7yTyFE96ptcycLB-letTsY4-Qy_sr3ykBnHjtuiGBU0D5IZjzd5QWWZDsx2EiJa7V14slPyNCgXPZo15bcPGA3Uu2rGHx70AEO9hN00',
    ),
  },
  {
    // Debian Security Archive Automatic Signing Key (11/bullseye), subkey ED541312A33F1128F10B1C6C54404762BBB6E853
    id: '54404762BBB6E853',
    expires: new Date('2029-01-15'),
    key: rsa(
      '68xYQqpOKc3ITuKLTFscUR6AyFgCRJ0ebqRUNwMG7nUj-vPpjDD3jG-9OzzX2gvE-nUYITBuWevLeYPg1ne9J55_O8rzoEVfXq1FSYBQ_iqATc9Qo0URYLfy2gYoUo4CqkTD1MKgIrPJMBDuqPriO3B4hbbQocnwWlkv0mSgiZlIunYBUDuCYmX5pRZUAnpMEGaYYZYGXlK3fedhe-Wag4LUIFZxbyobTAZGHzV-1CDT-SXMZASVNbJTgK48CEKfBgpxyc5w5U-Nx2n6uC-8nBzTb-pfVYjdk8kU6qvvmKX31yqt6hISY7qEkQvsZRQZwA2iqpZRN7hIhiLdH3tqqU4X07JL36jQG5-XRz1NlgNpFMmshWzgPaPEnaBo3j2TO0CJ8Q1h9L7DMTrhi1uA06VHhe8RGzcP7Ty_CKCoBN7ICl_FGz9UfuD8bctVwgEhgkId2dJP8CCVNwBDuJa_AuWEUnZpJgfSukxWMGZKVMma-oocsjrAucLbZzm8BOc1jM7RKH02iTPqd9RSM0mu5mRsghgLU6G77xoS4MtOGKu_ANHTdUhYN4XcGEVB2R0p-R9m3MBjwuvutYbFvceltH6yV6QLp3NyUuPaDpt7jzOwToDPZ6T_-ZXV9qsA96OmYDa8L0HmKd1H1co2e0Iq4VTYpEcJKGGzD3F9BQhw6ks',
    ),
  },
  {
    // Debian Stable Release Key (11/bullseye), A4285295FC7B1A81600062A9605C66F00D6C9793
    id: '605C66F00D6C9793',
    expires: new Date('2029-02-11'),
    key: rsa(
      'xujUNBMeYMtDpZxpRWbE6YmVdi4lIQAhY-mR1RGEEDVoBIEZ2bmXgF205xcsM6yVGIcedaTY8X6FYjf-Ccp9qDK5mgRLg8RMIVWQ7DE82_XcdDDZ5ozK-Oc_-BBo5Z9O7Rc3rPiftHlYsyTlnoUONCBMMgmSBvUDn7AtXtXrLZtCi2Slm-IE4oRhUmoTOM3g-l5WfJK05ZFlfYu_qGrQpDc4rjk3_PmVxKqDZv3ScRuqRlnGpaPg4kxN5eBwha-jGaIgqFlWimJ9Y7SFHoqA1VvMz2pbd1XD5o72G-mTR4RSvHdww1de8L-0xSSDp9Y9p_No82w2cEAFiAOoij41wySapr-KnGeWuZfKoq4Y2YUBHpn7WLBgS048fQDXz3AxaEOvaIw8N-DXIYoNpyfu7rfYeZo3gfUJjsddBw6aLEWmavMjwoRaYXhzZSsIfT2G2tGfVW95iNOMsJMNaBnOmEA_1RoaBojHpm8xCtddA7AnGXpw-XTlh7oOSxe0Ex_tdtHhuELdEXDy6iN9_txVDo8zkLm8NEAE2LPA8NhN-i1TlMdcq7Q6oybP2V36_iwn2mUbIb2H3Jd7KBwl8VahMKF1JsSSu-NUUuHo_MO_XJZ4mTzC3OvF6RWe6rCqCgR3qBtZfF77gKfRKVuL7o7HoRMEbnZ9UjaHOX0xRvZPKpU',
    ),
  },
  {
    // Debian Archive Automatic Signing Key (13/trixie), subkey B8E5F13176D2A7A75220028078DBA3BC47EF2265
    id: '78DBA3BC47EF2265',
    expires: new Date('2035-03-28'),
    key: rsa(
      'soJ1ixqCJS83HZRqKj4pS7IEkG_zzeKcPqN1CTH5ljbR7pYVZv26UK_rrf-Dzq6dfZMWmFNLQeb3DzwM-T6RtNJMOO3ONlztFgJ4KvmfHP1-6Q7tKaxok1x51n9KyDR15-NN0jexCEhgpUok4lO5fIzoQpVMt2W1TTGBRs1WuVXwUs6fIu0AXAB92EvhXRNb0ECN72dd09ubN54IU-gBwpk50kXR43RKCmPPxaU05S3Psd0N4uaqlGMMI_azndhbcmfqbnTiFvwkF9PjxnjUxpFZLg4ggPAeL82fJycjJ6EPAHgy7G_T1ZMzwi_TcLQdFq2reZnAKtNKEBg9yfDijbUR7se-nyAPzNVXpo8Smwu_ZJxnwmGjrcjQuzWrI3CpziS7suQ5TZ515F6ZkAjun9plnrbKu6lAGWltNru7EOEC7PsyvnMM-RXJ4uS6NBUX7FnSFRmCY7cWWWNC4e6kc2BEr_yiIcZ6vCIpvv67Vnx6z3KvYY8pBUN77WShXyIYQyTIOnDYfnr_iax2_tkXBJ6ILWMch5ofRG9Ikr2De1MYvIXP8HZp-vpfyf70q416zc_H_ZlLePDIy6ZLLDD1R3zNpj2i6KgSDT-80t7lS2eZmmFGkSQ05IO9nrPQxYPbdw8VUgsLD03rfDA0TwxBVe6tnA106h6FdCc62xXFgUM',
    ),
  },
  {
    // Debian Security Archive Automatic Signing Key (13/trixie), subkey 89C87ACEA5DD6B8E6A7068808E9F831205B4BA95
    id: '8E9F831205B4BA95',
    expires: new Date('2035-03-28'),
    key: rsa(
      'oQW1hsaOfilAB8s9w0m5WaRY87-9VtQzbnHkYTX1DlLLt5WSniNXXd43Iad-u35mguftq7IOQImc7hsJoZhbYKNXwdiJgjxl7mn3sSjKyc6SyCZtGMWZzc1mrhFpmRk7ouFI2eg4wfnNFL2qUoSKEcQQoF3JEzvsOEYHBOf2mpAD4ejw-BsiR1_MwFGVttWZkvTXTY9yuP_LgXCAiNJkYcL1wRc-T5gTj2PZ-YSOYigvHCkfBdAhtSUYbTbE4cdEtPX0_nUAJxjxKNj08E3MY4uThh3FmHzOKjJ37hAIzhjAmIehpCg81jIXNpK6KZwND9-OuHStrGeKXlTqdp8dJuBrnKnbaIWdFHfXSTnIa42kuDm_e7OG0rYvnHdL26D8Z2aouIvBkto7xQb_HZCm75_UOEzSXcf69hgZQcYB32Watj--7hmZ9SYwMyhqTaVuClBt6eyzrMRg1D9ZIymza8qt-ZvwU1yIQzYs8H3QpcFZipLRXQKU6XBz5ZP7SLt3NXzn5l2bZFr_KAyTlw9LItq2m636HQlO30Uzi0S3PKR_N0vx0pQK-BXumgEDM83XVKRubjQwYBYtLQVwf1b6Zc9D97dWH3U06551lNnrGKiIvwTLvIrv8k3tHk_DxTcCS4vbNukUp7Q-W5QJUZb04dJbKvGTkG8za2eF2yEoJs8',
    ),
  },
  {
    // Debian Stable Release Key (13/trixie), 41587F7DB8C774BCCF131416762F67A0B2C39DE4
    id: '762F67A0B2C39DE4',
    expires: new Date('2033-03-22'),
    key: { kty: 'OKP', crv: 'Ed25519', x: 'Rlh1OX84KPJRedAP_M7WxPFEthWypAp8nvedFhqaX0o' },
  },
]
