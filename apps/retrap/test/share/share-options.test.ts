import { describe, expect, test } from 'vitest'
import { listShares, parseFsdev, parseShare, parseVirtfs } from '../../src/machine/share/share-options.ts'
import { parseDevice } from '../../src/options/values.ts'

describe('directories of the command line', () => {
  test('--share and --virtfs', () => {
    const share = [
      parseShare('work=./src,,more,readonly=on'),
      parseVirtfs('local,path=/x,mount_tag=t,security_model=none'),
    ]
    expect(listShares({ share })).toEqual([
      { kind: 'share', tag: 'work', path: './src,more', readOnly: true },
      { kind: 'share', tag: 't', path: '/x', readOnly: false },
    ])
  })

  test('--fsdev with --device virtio-9p-pci', () => {
    const fsdev = [parseFsdev('local,id=f,path=/x,readonly=on')]
    const device = [parseDevice('virtio-9p-pci,fsdev=f,mount_tag=t,addr=7'), parseDevice('virtio-rng-pci')]
    expect(listShares({ fsdev, device })).toEqual([{ kind: 'share', tag: 't', path: '/x', readOnly: true, slot: 7 }])
    expect(() => listShares({ fsdev })).toThrow('no device uses it')
    expect(() => listShares({ device })).toThrow("there is no fsdev 'f'")
  })

  test.each([
    { act: () => parseShare('/only/a/path'), message: 'write TAG=DIR' },
    { act: () => parseShare('t='), message: 'write TAG=DIR' },
    { act: () => parseShare('t=/x,readolny=on'), message: "did you mean 'readonly'?" },
    { act: () => parseShare('t=/x,colour=red'), message: "--share has no 'colour'" },
    { act: () => parseShare('t=/x,readonly=yes'), message: 'readonly=yes is not on or off' },
    { act: () => parseShare(`${'t'.repeat(32)}=/x`), message: 'has not 1 to 31 bytes' },
    { act: () => parseVirtfs('proxy,path=/x'), message: "'proxy' is unknown" },
    { act: () => parseVirtfs('local,mount_tag=t'), message: 'names no directory' },
    { act: () => parseVirtfs('local,path=/x,mount_tag=t,security_model=mapped'), message: 'security_model=mapped' },
    { act: () => parseFsdev('local,path=/x'), message: 'has no id' },
    {
      act: () => listShares({ fsdev: [parseFsdev('local,id=f,path=/x'), parseFsdev('local,id=f,path=/y')] }),
      message: "have the id 'f'",
    },
    { act: () => listShares({ share: [parseShare('t=/x'), parseShare('t=/y')] }), message: "have the tag 't'" },
  ])('$message', ({ act, message }) => {
    expect(act).toThrow(message)
  })
})
