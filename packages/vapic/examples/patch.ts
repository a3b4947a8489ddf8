// Patches one instruction of a guest whose memory is an array: kernel at 0x80000000, local APIC at 0xFFFE0000.
import { ROM_STRUCTURE, type VapicHost, VapicPatcher } from '@retrap/vapic'
import { buildVapicRom } from '@retrap/vapic/rom'

const ROM = 0xc_8000
const ram = new Uint8Array(0x10_0000)
ram.set(buildVapicRom(), ROM)
// mov [fffe0080], eax at 80001000, and a KPCR at 80003000
ram.set([0xa3, 0x80, 0x00, 0xfe, 0xff], 0x1000)
new DataView(ram.buffer).setUint32(0x301c, 0x8000_3000, true)

const gpa = (linear: number): number | undefined =>
  linear < ram.length ? linear : linear >>> 31 === 1 && linear < 0x8010_0000 ? linear - 0x8000_0000 : undefined
let eip = ROM + 3
const host: VapicHost = {
  vcpuCount: 1,
  pollMethod: 'vmcall',
  registers: () => ({ eip, esp: 0x8000_2000, fsBase: 0x8000_3000 }),
  translate: (_vcpu, linear) => (linear >>> 12 === 0xfffe0 ? 0xfee0_0000 + (linear & 0xfff) : gpa(linear)),
  readLinear: (_vcpu, linear, into) => host.readPhysical(gpa(linear) ?? -1, into),
  writeLinear: (_vcpu, linear, from) => host.writePhysical(gpa(linear) ?? -1, from),
  readPhysical(at, into) {
    if (at < 0 || at + into.length > ram.length) return false
    into.set(ram.subarray(at, at + into.length))
    return true
  },
  writePhysical(at, from) {
    if (at < 0 || at + from.length > ram.length) return false
    ram.set(from, at)
    return true
  },
  mapRomWritable() {},
  unmapRom() {},
  reportTprAccesses: (enabled) => console.log('reports', enabled ? 'on' : 'off'),
  stopAll() {},
  resumeAll() {},
  dropCode() {},
  useRecord() {},
  findWords: () => [],
  pollInterrupts() {},
}

const patcher = new VapicPatcher(host)
// The ROM's entry announces it by OUT 7Eh, AX; then the guest writes its task priority.
patcher.portWrite(0, 2, ROM_STRUCTURE)
eip = 0x8000_1000
patcher.report(0, { access: 'write', gpa: 0xfee0_0080 })
for (const { address, original, patch } of patcher.sites) {
  console.log(address.toString(16), Buffer.from(original).toString('hex'), '->', Buffer.from(patch).toString('hex'))
}

// Output:
// reports off
// reports on
// 80001000 a38000feff -> e87e710c00
