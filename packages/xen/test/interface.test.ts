import { P2mType } from '@retrap/p2m'
import { al, eax, ebx, ecx, edi, edx, esi, imm32, qword, dword, rax } from '@retrap/x86-assembler'
import { sliceTests } from '@retrap/tooling/slice'
import { describe, expect } from 'vitest'
import { E } from './support/headers.ts'
import { ARGUMENTS, type CallerMode, XenTestGuest } from './support/xen-guest.ts'

const test = sliceTests(3)

const MODES: readonly CallerMode[] = ['64', '32', 'compatibility', 'real']
const XEN_VERSION = 17
const XENVER = { version: 0, extraversion: 1, compileInfo: 2, capabilities: 3, changeset: 4, platform: 5, features: 6 }

test('the page of the store is where its parameter says, and the console has another', async () => {
  const guest = new XenTestGuest()
  const { guestMemory } = guest.domain
  // HVMOP_get_param of HVM_PARAM_STORE_PFN and HVM_PARAM_CONSOLE_PFN (public header hvm/params.h).
  const pages: number[] = []
  for (const parameter of [1, 17]) {
    guest.write64(ARGUMENTS, 0x7ff0n | (BigInt(parameter) << 32n))
    guest.write64(ARGUMENTS + 8, 0n)
    expect(await guest.call(34, 1, ARGUMENTS)).toBe(0)
    pages.push(guest.read32(ARGUMENTS + 8))
  }
  const [store = 0, console = 0] = pages
  const read32 = (gpa: number): number | undefined => {
    const bytes = new Uint8Array(4)
    return guestMemory.read(gpa, bytes) ? new DataView(bytes.buffer).getUint32(0, true) : undefined
  }
  // server_features of struct xenstore_domain_interface: reconnection and errors (public header io/xs_wire.h).
  expect([store !== console, read32(store * 0x1000 + 2064)]).toEqual([true, 3])
})

describe('CPUID leaves (public header arch-x86/cpuid.h)', () => {
  const leaf = async (guest: XenTestGuest, index: number, subleaf = 0): Promise<number[]> => {
    guest.program((asm) => {
      asm.mov(eax, imm32(index)).mov(ecx, subleaf).cpuid()
      asm.mov(dword(ARGUMENTS), eax).mov(dword(ARGUMENTS + 4), ebx)
      asm.mov(dword(ARGUMENTS + 8), ecx).mov(dword(ARGUMENTS + 12), edx)
      asm.out(0xf4, al).hlt()
    })
    await guest.call(0)
    return [0, 4, 8, 12].map((at) => guest.read32(ARGUMENTS + at))
  }

  test.each([
    { what: 'largest leaf, "XenVMMXenVMM"', at: 0, is: [0x4000_0005, 0x566e_6558, 0x6558_4d4d, 0x4d4d_566e] },
    { what: 'version 4.17', at: 1, is: [0x4_0011, 0, 0, 0] },
    { what: 'one hypercall page, MSR 40000000H', at: 2, is: [1, 0x4000_0000, 0, 0] },
    { what: 'TSC: reliable, RDTSCP; 1 GHz', at: 3, is: [6, 0, 1_000_000, 0] },
    { what: 'TSC to ns: 2^31 / 2^32, after a shift of 1', at: 3, sub: 1, is: [0, 0, 0x8000_0000, 1] },
    { what: 'TSC of the host', at: 3, sub: 2, is: [1_000_000, 0, 0, 0] },
    { what: 'vCPU and domain numbers', at: 4, is: [0x5c, 0, 7, 0] },
    { what: 'nothing for PV guests', at: 5, is: [0, 0, 0, 0] },
    { what: 'nothing after that', at: 6, is: [0, 0, 0, 0] },
  ])('leaf $at: $what', async ({ at, sub, is }) => {
    const guest = new XenTestGuest('64', { xen: { domainId: 7 } })
    expect(await leaf(guest, 0x4000_0000 + at, sub)).toEqual(is)
  })
})

describe('the hypercall page', () => {
  const PAGE = 0x5_0000

  test('the MSR writes stubs, through which calls are made', async () => {
    const guest = new XenTestGuest()
    guest.write(PAGE, new Uint8Array(0x1000).fill(0x55))
    guest.program((asm) => {
      asm.mov(ecx, 0x4000_0000).mov(eax, PAGE).mov(edx, 0).wrmsr()
      asm
        .rdmsr()
        .mov(dword(ARGUMENTS), eax)
        .mov(dword(ARGUMENTS + 4), edx)
      asm
        .mov(edi, XENVER.version)
        .mov(eax, PAGE + 32 * XEN_VERSION)
        .call(rax)
      asm.out(0xf4, al).hlt()
    })
    expect(await guest.call(0)).toBe(0x4_0011)
    expect(guest.read64(ARGUMENTS)).toBe(0n)
    const stub = (number: number): number[] => [...guest.read(PAGE + 32 * number, 10)]
    expect(stub(0)).toEqual([0xb8, 0, 0, 0, 0, 0x0f, 0x01, 0xc1, 0xc3, 0xcc])
    expect(stub(127)).toEqual([0xb8, 127, 0, 0, 0, 0x0f, 0x01, 0xc1, 0xc3, 0xcc])
    // IRET: UD2.
    expect(stub(23).slice(0, 3)).toEqual([0x0f, 0x0b, 0xcc])
  })

  test('it goes into logged RAM and RAM that is not there yet; ROM and holes are #GP', async () => {
    const guest = new XenTestGuest()
    const { p2m } = guest.domain
    const install = async (gfn: number): Promise<boolean> => {
      guest.program((asm) =>
        asm
          .mov(ecx, 0x4000_0000)
          .mov(eax, gfn * 0x1000)
          .mov(edx, 0)
          .wrmsr()
          .out(0xf4, al)
          .hlt(),
      )
      await guest.call(0)
      return guest.exit.reason === 'stopped'
    }
    const log = guest.domain.dirtyLogs.start(0x50, 1)
    p2m.onDemand.mark(0x1000, 1)
    p2m.onDemand.setCache(1)
    expect([await install(0x50), log.peek(new Uint32Array(1)), await install(0x1000)]).toEqual([true, 1, true])
    expect(guest.read(0x100_0000, 1)[0]).toBe(0xb8)
    p2m.setType(0x51, 1, P2mType.RAM_RO)
    expect(await install(0x51)).toBe(false)
  })

  test.each([
    { given: 'an index above 0', lo: PAGE + 1, hi: 0 },
    { given: 'a page that is no RAM', lo: 0x9000_0000, hi: 0 },
    { given: 'an address beyond what there is', lo: PAGE, hi: 0xffff_ffff },
  ])('$given is #GP', async ({ lo, hi }) => {
    const guest = new XenTestGuest()
    guest.program((asm) => asm.mov(ecx, 0x4000_0000).mov(eax, imm32(lo)).mov(edx, imm32(hi)).wrmsr().out(0xf4, al))
    await guest.call(0)
    expect(guest.exit.reason).toBe('vcpu-shutdown')
  })
})

describe('who may call', () => {
  test.each(MODES)('%s code in ring 0', async (mode) => {
    expect(await new XenTestGuest(mode).call(XEN_VERSION, XENVER.version)).toBe(0x4_0011)
  })

  test.each(['64', '32', 'compatibility'] as const)('%s code in ring 3 gets -E.PERM', async (mode) => {
    const guest = new XenTestGuest(mode)
    guest.ring = 3
    for (const page of [0x1_0000, 0x1_7000]) guest.map(page, page, 7)
    expect(await guest.call(XEN_VERSION, XENVER.version)).toBe(E.PERM)
  })

  test.each([0, 1, 11, 39, 42, 63, 64, 1000, 0xffff_ffff, 0x8000_0011])('number %i is nobody’s', async (number) => {
    for (const mode of MODES) expect(await new XenTestGuest(mode).call(number)).toBe(E.NOSYS)
  })

  test('64-bit code calls with all of RAX', async () => {
    expect(await new XenTestGuest('64').call((1n << 32n) | 17n)).toBe(E.NOSYS)
  })
})

describe('xen_version', () => {
  test.each(MODES)('answers %s code', async (mode) => {
    const guest = new XenTestGuest(mode)
    const at = mode === 'real' ? 0x8000 : ARGUMENTS
    const ask = (command: number): Promise<number> => guest.call(XEN_VERSION, command, at)
    expect(await ask(XENVER.extraversion)).toBe(0)
    expect(guest.readText(at, 16)).toBe('.0-retrap')
    expect(await ask(XENVER.compileInfo)).toBe(0)
    expect(guest.readText(at + 80, 32)).toBe('localdomain')
    expect(await ask(XENVER.capabilities)).toBe(0)
    expect(guest.readText(at, 1024)).toBe('hvm-3.0-x86_32 hvm-3.0-x86_32p hvm-3.0-x86_64')
    expect(await ask(XENVER.changeset)).toBe(0)
    expect(guest.readText(at, 64)).toBe('unavailable')
    guest.write32(at, 5, 6, 7)
    expect(await ask(XENVER.platform)).toBe(0)
    expect([0, 4, 8].map((i) => guest.read32(at + i))).toEqual(mode === '64' ? [0, 0, 7] : [0, 6, 7])
    guest.write32(at, 0, 0xffff_ffff, 9)
    expect(await ask(XENVER.features)).toBe(0)
    // Writable page tables, translated, callback vector, safe clock, virtual nodes, not direct mapped.
    expect([0, 4, 8].map((i) => guest.read32(at + i))).toEqual([0, 0x1_2305, 9])
    guest.write32(at, 1)
    expect(await ask(XENVER.features)).toBe(E.INVAL)
    expect(await guest.call(XEN_VERSION, 7, 0)).toBe(0x1000)
    expect(await ask(9)).toBe(0)
    expect(guest.readText(at, 1024)).toBe('<denied>')
    expect(await ask(10)).toBe(E.PERM)
    expect(await ask(11)).toBe(E.NOSYS)
    expect(await ask(0xffff_ffff)).toBe(E.NOSYS)
  })

  test('the handle is the one that the domain was made with', async () => {
    const handle = Uint8Array.from({ length: 16 }, (_, i) => i + 1)
    const guest = new XenTestGuest('64', { xen: { handle } })
    expect(await guest.call(XEN_VERSION, 8, ARGUMENTS)).toBe(0)
    expect(guest.read(ARGUMENTS, 16)).toEqual(handle)
  })
})

describe('copies to and from the guest', () => {
  const features = (guest: XenTestGuest, pointer: number | bigint): Promise<number> =>
    guest.call(XEN_VERSION, XENVER.features, pointer)

  test('cross pages that lie apart', async () => {
    const guest = new XenTestGuest()
    guest.map(ARGUMENTS + 0x1000, 0x7_0000)
    guest.write32(ARGUMENTS + 0xffc, 0)
    expect(await features(guest, ARGUMENTS + 0xffc)).toBe(0)
    expect(guest.read32(0x7_0000)).toBe(0x1_2305)
    expect(guest.read32(ARGUMENTS + 0x1000)).toBe(0)
  })

  test.each([
    { given: 'an address that is not mapped', pointer: 0x4000_0000 },
    { given: 'one that is not canonical', pointer: 0x8000_0000_0000n },
    { given: 'the last byte of all', pointer: 0xffff_ffff_ffff_ffffn },
    { given: 'a hole', pointer: 0x1000_0000 },
    { given: 'the local APIC', pointer: 0xfee0_0000 },
  ])('$given is -E.FAULT', async ({ pointer }) => {
    const guest = new XenTestGuest()
    guest.write64(0x2_1018, BigInt(0x2_4000 | 7))
    guest.write64(0x2_4000 + 8 * 503, 0xfee0_0087n)
    expect(await features(guest, pointer)).toBe(E.FAULT)
    expect(guest.domain.vcpus[0]?.counts.apicAccesses).toBe(0)
    expect(guest.domain.vcpus[0]?.counts.mmioAccesses).toBe(0)
  })

  test('a read-only page can be read, not written', async () => {
    const guest = new XenTestGuest()
    guest.map(ARGUMENTS, ARGUMENTS, 1)
    guest.write32(ARGUMENTS, 1)
    expect(await features(guest, ARGUMENTS)).toBe(E.INVAL)
    guest.write32(ARGUMENTS, 0)
    expect(await features(guest, ARGUMENTS)).toBe(E.FAULT)
  })

  test('with SMAP a user’s page needs RFLAGS.AC', async () => {
    const guest = new XenTestGuest()
    guest.map(ARGUMENTS, ARGUMENTS, 7)
    expect(await guest.call(XEN_VERSION, XENVER.features, ARGUMENTS)).toBe(E.FAULT)
    guest.flags = 2 | (1 << 18)
    expect(await guest.call(XEN_VERSION, XENVER.features, ARGUMENTS)).toBe(0)
  })

  test('sets A, and D where it writes', async () => {
    const guest = new XenTestGuest()
    await features(guest, ARGUMENTS)
    expect(guest.read64(0x2_3000 + 8 * (ARGUMENTS >> 12)) & 0x60n).toBe(0x60n)
  })

  test('what they write over decoded code is executed', async () => {
    const HERE = 0x6_0000
    // The domain's handle becomes the code that runs next.
    const handle = Uint8Array.of(0xb8, 7, 0, 0, 0, 0xc3)
    const guest = new XenTestGuest('64', { xen: { handle } })
    guest.program((asm) => asm.mov(eax, 1).ret(), HERE)
    guest.program((asm) => {
      asm.mov(eax, HERE).call(rax).mov(qword(ARGUMENTS), rax)
      asm.mov(eax, XEN_VERSION).mov(edi, 8).mov(esi, HERE).vmcall()
      asm.mov(eax, HERE).call(rax).out(0xf4, al).hlt()
    })
    expect(await guest.call(0, 8, HERE)).toBe(7)
    expect(guest.read32(ARGUMENTS)).toBe(1)
  })
})
