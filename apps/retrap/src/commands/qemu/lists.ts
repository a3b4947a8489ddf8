/** The lists of QEMU's options, `key=value,…`. Source: QEMU, "Invocation" (docs/system/invocation.rst), versions 7.2 to 10. */
import type { Pairs } from '../../options/pairs.ts'
import { didYouMean } from '../../options/values.ts'

const FORMS: Readonly<Record<string, readonly [form: RegExp, name: string]>> = {
  switch: [/^(on|off)$/, 'write on or off'],
  auto: [/^(on|off|auto)$/, 'write on, off or auto'],
  number: [/^(0x[\da-f]+|\d+)$/i, 'write a number'],
  size: [/^\d+(\.\d+)?[bkmgtpe]?$/i, 'write a size such as 512M or 1G'],
}

const ACCELERATOR = 'kvm|tcg|hvf|whpx|nvmm|xen|hax|mshv|qtest'
const OF_ACCELERATOR = 'kernel-irqchip=on|off|split kvm-shadow-mem=size igd-passthru=switch'
const OF_BOARD = `type accel=(${ACCELERATOR})(:(${ACCELERATOR}))* ${OF_ACCELERATOR} acpi=auto aux-ram-share=switch bus-lock-ratelimit=number confidential-guest-support default-bus-bypass-iommu=switch dt-compatible dtb dump-guest-core=switch dumpdtb graphics=switch hmat=switch mem-merge=switch memory-backend memory-encryption nvdimm=switch nvdimm-persistence pflash0 pflash1 phandle-start=number suppress-vmdesc=switch usb=switch x-oem-id x-oem-table-id`
const STREAM =
  'none|null|stdio|pty|msmouse|braille|vc(:.*)?|(mon|chardev|con|file|pipe|unix|tcp|udp|telnet|websocket):.+|/dev/.+'
const MODEL =
  '(host|max|base|486|pentium[23]?|athlon|n270|phenom|core(2)?duo|(qemu|kvm)(32|64)|Conroe|Penryn|Nehalem|Westmere|SandyBridge|IvyBridge|Haswell|Broadwell|(Skylake|Icelake)-(Client|Server)|Cascadelake-Server|Cooperlake|SapphireRapids|GraniteRapids|SierraForest|ClearwaterForest|Snowridge|KnightsMill|Denverton|Dhyana|YongFeng|EPYC(-(Rome|Milan|Genoa|Turin))?|Opteron_G[1-5])(-(noTSX|IBRS|IBPB|v\\d+))*|(cortex-[amr]|arm)\\d+\\w*|neoverse-\\w+|a64fx'
const CARD = 'virtio(-net-pci)?|e1000\\w*|i8255\\w+|rtl8139|ne2k_(pci|isa)|pcnet|vmxnet3|igb|tulip'
const OF_NETWORK = `* model=${CARD} ipv4=switch ipv6=switch ipv6-prefixlen=number restrict=switch`
const OF_FOLDER =
  'security_model=mapped|mapped-xattr|mapped-file|passthrough|none readonly=switch writeout=immediate multidevs=remap|forbid|warn *'

/**
 * The keys of each list, with the form of a value: one of FORMS, or a pattern; without one any text. The first key is that of a
 * word that stands alone; `-`: there is none; `*`: other keys are judged where the option is translated.
 */
const KEYS: Readonly<Record<string, string>> = {
  machine: `${OF_BOARD} cxl=switch fd-bootchk=switch hpet=switch i8042=switch max-fw-size=size max-ram-below-4g=size pcspk-audiodev pic=auto pit=auto sata=switch sgx-epc smbios-entry-point-type=auto|32|64 smbus=switch smm=auto vmport=auto`,
  'machine virt': `${OF_BOARD} compact-highmem=switch dtb-kaslr-seed=switch dtb-randomness=switch gic-version=2|3|4|max|host highmem=switch highmem-ecam=switch highmem-mmio=switch highmem-redists=switch iommu=none|smmuv3 its=switch mte=switch ras=switch secure=switch virtualization=switch`,
  m: 'size=size slots=number maxmem=size',
  smp: 'cpus=number maxcpus=number drawers=number books=number sockets=number dies=number modules=number clusters=number cores=number threads=number',
  name: 'guest process debug-threads=switch',
  accel: `accel=${ACCELERATOR} ${OF_ACCELERATOR} dirty-ring-size=number eager-split-size=size notify-vmexit notify-window=number device one-insn-per-tb=switch split-wx=switch tb-size=number thread=single|multi`,
  boot: 'order=[a-p]+ once=[a-p]+ menu=switch splash splash-time=number reboot-timeout=-?\\d+ strict=switch',
  rtc: 'base clock=host|rt|vm driftfix=none|slew',
  icount: 'shift=auto|\\d|10 align=switch sleep=switch rr=record|replay rrfile rrsnapshot',
  action:
    '- reboot=reset|shutdown shutdown=poweroff|pause panic=pause|shutdown|exit-failure|none watchdog=reset|shutdown|poweroff|inject-nmi|pause|debug|none',
  overcommit: '- mem-lock=on|off|on-fault cpu-pm=switch',
  msg: '- timestamp=switch guest-name=switch',
  sandbox:
    'enable=switch obsolete=allow|deny elevateprivileges=allow|deny|children spawn=allow|deny resourcecontrol=allow|deny',
  numa: 'type=node|dist|cpu|hmat-lb|hmat-cache nodeid=number memdev mem=size cpus initiator src dst val node-id socket-id die-id cluster-id core-id thread-id target hierarchy data-type latency bandwidth size level associativity policy line',
  display:
    'type=none|gtk|sdl|egl-headless|curses|cocoa|spice-app|dbus gl=on|off|core|es full-screen=switch grab-on-hover=switch show-cursor=switch show-tabs=switch show-menubar=switch window-close=switch zoom-to-fit=switch keep-aspect-ratio=switch scale grab-mod alt-grab=switch ctrl-grab=switch frame=switch left-command-key=switch full-grab=switch swap-opt-cmd=switch rendernode charset addr p2p=switch audiodev',
  chardev:
    'backend=null|socket|udp|msmouse|vc|ringbuf|memory|file|pipe|pty|stdio|serial|tty|parallel|parport|qemu-vdagent|dbus|spicevmc|spiceport|console|braille|testdev|wctablet|hub id mux=switch logfile logappend=switch host port to ipv4=switch ipv6=switch nodelay=switch server=switch wait=switch telnet=switch websocket=switch tn3270=switch reconnect=number reconnect-ms=number fd tls-creds tls-authz path abstract=switch tight=switch localaddr localport width=number height=number cols=number rows=number size=size signal=switch append=switch input-path name debug=number chardev clipboard=switch mouse=switch',
  mon: 'chardev id mode=readline|control pretty=switch default=switch',
  drive:
    '* if=ide|scsi|sd|mtd|floppy|pflash|virtio|xen|none media=disk|cdrom snapshot=switch readonly=switch cache=none|writeback|unsafe|directsync|writethrough aio=threads|native|io_uring discard=ignore|off|unmap|on detect-zeroes=on|off|unmap werror=report|ignore|stop|enospc rerror=report|ignore|stop copy-on-read=switch cache.direct=switch cache.no-flush=switch cache.writeback=switch file.locking=auto',
  netdev: `type ${OF_NETWORK}`,
  nic: `type ${OF_NETWORK}`,
  net: `type ${OF_NETWORK}`,
  virtfs: `fsdriver=local ${OF_FOLDER}`,
  fsdev: `fsdriver=local ${OF_FOLDER}`,
  audiodev: 'driver=none|alsa|coreaudio|dbus|dsound|jack|oss|pa|pipewire|sdl|sndio|spice|wav *',
  smbios: '- type=number *',
  cpu: `model=${MODEL} *`,
  parallel: `stream=${STREAM}`,
  vga: 'card=none|std|cirrus|vmware|qxl|virtio',
  soundhw: 'card=ac97|es1370|sb16|hda|all|adlib|gus|cs4231a',
  uuid: 'id=[\\da-fA-F]{8}(-[\\da-fA-F]{4}){3}-[\\da-fA-F]{12}',
  object: 'qom-type *',
  device: 'driver *',
}

/** The key of the word that stands alone in an option's list. */
export const firstKey = (option: string): string => KEYS[option]?.split(/[ =]/, 1)[0] ?? 'driver'

/** Checks an option's words, and writes its switches as on or off. Returns sentences about words that QEMU does not take. */
export function mistakesIn(option: string, pairs: Pairs): readonly string[] {
  const forms = new Map(
    (KEYS[option] ?? '*').split(' ').map((entry) => entry.split(/=(.*)|$/s) as [string, string | undefined]),
  )
  return pairs.pairs(firstKey(option)).flatMap(([key, value]) => {
    const form = forms.get(key)
    const what = `-${option.split(' ')[0]} ${key}=${value}`
    if (!forms.has(key) && !forms.has('*')) return [`${what}: there is no ${key}${didYouMean(key, [...forms.keys()])}`]
    if (form === undefined) return []
    const named = /^[\w|. -]+$/.test(form) ? `write ${form.replaceAll('|', ', ')}` : 'QEMU has no such value'
    const [pattern, text] = FORMS[form] ?? [new RegExp(`^(${form})$`), named]
    const on = /^(yes|true|y)$/.test(value) ? 'on' : /^(no|false|n)$/.test(value) ? 'off' : value
    if (!pattern.test(on)) return [`${what}: ${text}`]
    if (on !== value) pairs.set(key, on, false)
    return []
  })
}
