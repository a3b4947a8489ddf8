// A running guest moves from one machine to another, here in one process. It does not notice.
import { createPc, type PcSnapshot } from '@retrap/machine'
import { type Channel, migrate, receiveMigration, StoppableRun } from '@retrap/migration'
import { Assembler, dword, dx, eax, imm16, imm32 } from '@retrap/x86-assembler'

const base = 0x10_0000
const end = 0x20_0000 // a word that tells the guest to power off
const asm = new Assembler({ bits: 32, address: base })
const [entry, loop] = [asm.label('entry'), asm.label('loop')]
asm.dd(0x1bad_b002, 0x1_0000, -(0x1bad_b002 + 0x1_0000), base, base, 0, 0, entry).bind(entry)
asm
  .bind(loop)
  .inc(dword(end + 4))
  .cmp(dword(end), imm32(0))
  .je(loop)
asm.mov(dx, imm16(0x604)).mov(eax, imm32(0x2000)).out(dx, eax).hlt()
const options = { memoryBytes: 16 << 20, kernel: asm.assemble().bytes }

/** One way of a connection. */
function oneWay(): Pick<Channel, 'send' | 'receive'> {
  const arrived: Uint8Array[] = []
  let wake = (): void => {}
  const next = (): Promise<void> => new Promise((resolve) => (wake = resolve))
  return {
    send: async (bytes) => (arrived.push(bytes), wake()),
    receive: async () => arrived.shift() ?? (await next(), arrived.shift()!),
  }
}
const [there, back] = [oneWay(), oneWay()]
const close = (): void => {}

const source = await createPc(options)
const run = new StoppableRun()
void run.run(source, {}, { reason: 'stopped' })
const moving = migrate(
  { send: there.send, receive: back.receive, close },
  {
    domain: source.domain,
    stop: () => run.stop(),
    resume: () => run.resume(),
    save: (options) => source.save(options),
  },
)

const arrived = await receiveMigration({ send: back.send, receive: there.receive, close })
const destination = await createPc({ ...options, snapshot: arrived.snapshot as PcSnapshot })
await arrived.takeOver()
const ending = destination.run()
console.log((await moving).outcome)
destination.domain.guestMemory.write(end, Uint8Array.of(1))
console.log((await ending).reason, run.isStopped)

// Output:
// moved
// power-off true
