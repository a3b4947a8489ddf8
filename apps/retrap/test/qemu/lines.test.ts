/**
 * Lines as the documentation of projects has them: each is translated, or refused by a sentence; and no word of any line
 * vanishes without a line that says so.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { numbers } from '@retrap/tooling/random'
import { skipNote } from '@retrap/tooling/skip'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { Command } from 'commander'
import { expect, test } from 'vitest'
import { systemOptions } from '../../src/flags/machine-table.ts'
import { listNetworks } from '../../src/machine/network/networks.ts'
import { translateLine } from '../../src/commands/qemu/translate.ts'
import { lackingPrograms } from '../support/programs.ts'

const OVMF =
  '-drive if=pflash,format=raw,unit=0,file=OVMF_CODE.fd,readonly=on -drive if=pflash,format=raw,unit=1,file=VARS.fd'
const DEBUGCON = '-debugcon file:debug.log -global isa-debugcon.iobase=0x402'

/** A line, and what of its translation matters; ✗: a pattern of the sentence that refuses it. */
type Line = readonly [line: string, wanted: readonly string[] | RegExp]

const lines = (text: string): Line[] =>
  text.split('\n').flatMap((row): Line[] => {
    const [line, wanted] = row.split(' → ')
    if (line === undefined || wanted === undefined) return []
    return [[line, wanted.startsWith('✗ ') ? new RegExp(wanted.slice(2)) : wanted.split(' & ')]]
  })

/** 40 lines: Linux, edk2, osdev.org, Debian, syzkaller, buildroot, U-Boot, seL4, rust-osdev, xv6, kvm-unit-tests, libvirt. */
const LINES = lines(`
# Linux: Documentation/process/debugging/gdb-kernel-debugging.rst; admin-guide/initrd; fw_cfg; pstore
qemu-system-x86_64 -s -S -kernel bzImage -append "nokaslr console=ttyS0" -nographic → --gdb tcp:127.0.0.1:1234,wait
qemu-system-x86_64 -kernel bzImage -initrd root.cpio.gz -append "console=ttyS0 quiet" -nographic -no-reboot -m 256 -smp 2 → --cpus 2 & --memory 256M
qemu-system-x86_64 -kernel bzImage -nographic -append console=ttyS0 -fw_cfg name=opt/org.test/hello,string=world → --fw-cfg name=opt/org.test/hello,string=world
qemu-system-aarch64 -M virt,gic-version=3 -cpu max -smp 4 -m 2G -kernel Image -initrd initrd.img -append console=ttyAMA0 -nographic → --arch arm64 & --machine virt,gic-version=3
qemu-system-x86_64 -enable-kvm -kernel bzImage -device edu -initrd root.cpio -append console=ttyS0 -nographic -monitor telnet:127.0.0.1:4444,server,nowait → --device edu & --monitor tcp:127.0.0.1:4444
# edk2: OvmfPkg/README, its SMM section, and the CI's PlatformBuild
qemu-system-x86_64 -pflash bios.bin -net none ${DEBUGCON} -hda disk.img → --device isa-debugcon,chardev=file:debug.log,iobase=0x402
qemu-system-x86_64 -machine q35,smm=on,accel=tcg -smp 4 -m 2048 -global driver=cfi.pflash01,property=secure,value=on ${OVMF} ${DEBUGCON} -global ICH9-LPC.disable_s3=1 -cdrom a.iso → --machine q35,smm=on & secure=on
qemu-system-x86_64 -debugcon stdio -global isa-debugcon.iobase=0x402 -net none -smp 4 -machine q35,smm=on -m 256 -cpu qemu64,+rdrand,+umip,+smep -global driver=cfi.pflash01,property=secure,value=on ${OVMF} -display none → --device isa-debugcon,chardev=stdio,iobase=0x402
qemu-system-x86_64 -bios OVMF.fd -hda fat:rw:hda-contents -net none → ✗ fat:.*--share
# osdev.org: Bare Bones, Meaty Skeleton, UEFI, Babystep1, debugging
qemu-system-i386 -cdrom myos.iso → --cdrom myos.iso
qemu-system-i386 -kernel myos.bin → --kernel myos.bin
qemu-system-x86_64 -fda boot.bin → --fda boot.bin
qemu-system-x86_64 -drive format=raw,file=boot.bin,index=0,media=disk -d int,cpu_reset -no-reboot -no-shutdown -D qemu.log → --trace exceptions & --trace-to qemu.log
qemu-system-x86_64 -cpu qemu64 -drive if=pflash,format=raw,unit=0,file=OVMF_CODE.fd,readonly=on -drive if=pflash,format=raw,unit=1,file=VARS.fd -net none -drive file=uefi.img,if=ide → file=uefi.img,if=ide
qemu-system-i386 -hda disk.img -monitor stdio -rtc base=localtime -boot c → --monitor stdio & --rtc localtime
# Debian: wiki QEMU, Arm64Qemu, cloud images with NoCloud by SMBIOS
qemu-system-x86_64 -hda debian.img -cdrom debian-netinst.iso -boot d -m 512 → --boot order=d
qemu-system-x86_64 -m 1G -drive file=debian.qcow2,if=virtio -nic user,model=virtio,hostfwd=tcp::2222-:22 -nographic -smbios type=1,serial=ds=nocloud;s=http://10.0.2.2:8000/ → --smbios type=1,serial=ds=nocloud;s=http://10.0.2.2:8000/
qemu-system-aarch64 -M virt -cpu cortex-a53 -m 1G -kernel vmlinuz -initrd initrd.img -append root=/dev/vda2 -drive if=none,file=hda.qcow2,format=qcow2,id=hd -device virtio-blk-pci,drive=hd -netdev user,id=mynet -device virtio-net-pci,netdev=mynet -nographic -no-reboot → --device virtio-blk-pci,drive=hd
# syzkaller: docs/linux/setup_ubuntu-host_qemu-vm_x86-64-kernel.md, _arm64, and syz-manager's own
qemu-system-x86_64 -m 2G -smp 2 -kernel bzImage -append "console=ttyS0 root=/dev/sda earlyprintk=serial net.ifnames=0" -drive file=bullseye.img,format=raw -net user,host=10.0.2.10,hostfwd=tcp:127.0.0.1:10021-:22 -net nic,model=e1000 -enable-kvm -nographic -pidfile vm.pid → --pidfile vm.pid & --nic user,host=10.0.2.10,hostfwd=tcp:127.0.0.1:10021-:22,model=e1000
qemu-system-aarch64 -machine virt,virtualization=on,mte=on -cpu max -nographic -smp 1 -hda rootfs.ext3 -kernel Image -append "console=ttyAMA0 root=/dev/vda oops=panic" -m 2048 -net user,hostfwd=tcp::10023-:22 -net nic → --drive file=rootfs.ext3,if=virtio,format=raw
qemu-system-x86_64 -m 2048 -smp 2 -chardev socket,id=SOCKSYZ,server=on,wait=off,host=localhost,port=51727 -mon chardev=SOCKSYZ,mode=control -display none -serial stdio -no-reboot -name VM-0 -device virtio-rng-pci -enable-kvm -cpu host,migratable=off -device e1000,netdev=net0 -netdev user,id=net0,restrict=on,hostfwd=tcp:127.0.0.1:1234-:22 -hda image -snapshot -kernel bzImage → --qmp tcp:localhost:51727
# buildroot: board/qemu/*/readme.txt
qemu-system-x86_64 -M pc -kernel bzImage -drive file=rootfs.ext2,if=virtio,format=raw -append "rootwait root=/dev/vda console=tty1 console=ttyS0" -serial stdio -net nic,model=virtio -net user → --nic user,model=virtio-net-pci
qemu-system-aarch64 -M virt -cpu cortex-a53 -nographic -smp 1 -kernel Image -append "rootwait root=/dev/vda console=ttyAMA0" -netdev user,id=eth0 -device virtio-net-device,netdev=eth0 -drive file=rootfs.ext4,if=none,format=raw,id=hd0 -device virtio-blk-device,drive=hd0 → --device virtio-net-device,netdev=eth0 & --device virtio-blk-device,drive=hd0 & have version 2 here
qemu-system-aarch64 -M virt -cpu cortex-a57 -smp 2 -m 1024 -bios flash.bin -nographic -drive file=rootfs.img,if=none,format=raw,id=hd0 -device virtio-blk-device,drive=hd0 → --firmware flash.bin
# U-Boot: doc/board/emulation/qemu-arm.rst, qemu-x86.rst, blkdev.rst
qemu-system-aarch64 -machine virt -nographic -cpu cortex-a57 -bios u-boot.bin → --firmware u-boot.bin
qemu-system-i386 -nographic -bios u-boot.rom -nic none → --firmware u-boot.rom
qemu-system-aarch64 -machine virt -nographic -cpu cortex-a57 -bios u-boot.bin -drive if=none,file=disk.img,format=raw,id=mydisk -device nvme,drive=mydisk,serial=foo -netdev user,id=net0,tftp=dir -device e1000,netdev=net0 → --device nvme,drive=mydisk,serial=foo
qemu-system-x86_64 -M q35 -nographic -bios u-boot.rom -drive if=none,file=disk.img,format=raw,id=mydisk -device ich9-ahci,id=ahci -device ide-drive,drive=mydisk,bus=ahci.0 -device qemu-xhci -device usb-kbd → file=disk.img,format=raw,id=mydisk
# seL4: sel4test's simulate
qemu-system-aarch64 -machine virt,virtualization=on,highmem=off,secure=off -cpu cortex-a53 -nographic -m size=1024 -kernel sel4test-driver-image-arm-qemu-arm-virt → --memory 1024M
qemu-system-x86_64 -cpu Nehalem,-vme,+pdpe1gb,-xsave,-xsaveopt,-xsavec,-fsgsbase,-invpcid,+syscall,+lm,enforce -nographic -serial mon:stdio -m size=3G -kernel kernel-x86_64-pc99 -initrd sel4test-driver-image-x86_64-pc99 → --memory 3G & --monitor stdio
# rust-osdev: bootimage, uefi-rs; Philipp Oppermann's blog_os
qemu-system-x86_64 -drive format=raw,file=bootimage-blog_os.bin -device isa-debug-exit,iobase=0xf4,iosize=0x04 -serial stdio -display none → --device isa-debug-exit,iobase=0xf4,iosize=0x04
qemu-system-x86_64 -nodefaults -machine q35 -smp 4 -m 256M -enable-kvm -vga std -device virtio-rng-pci -serial stdio -drive if=pflash,format=raw,readonly=on,file=OVMF_CODE.fd -drive if=pflash,format=raw,readonly=on,file=VARS.fd -drive format=raw,file=esp.img -qmp unix:qmp.sock,server,nowait → --qmp unix:qmp.sock
# xv6, JOS, kvm-unit-tests, ArceOS
qemu-system-i386 -serial mon:stdio -drive file=fs.img,index=1,media=disk,format=raw -drive file=xv6.img,index=0,media=disk,format=raw -smp 2 -m 512 -S -gdb tcp::26000 → --gdb tcp:127.0.0.1:26000,wait
qemu-system-x86_64 -nodefaults -device isa-debug-exit,iobase=0xf4,iosize=0x4 -vnc none -serial stdio -device pci-testdev -machine accel=tcg -kernel apic.flat -smp 2 -cpu qemu64 → --device pci-testdev
qemu-system-aarch64 -m 128M -smp 1 -cpu cortex-a72 -machine virt -kernel arceos.bin -device virtio-blk-device,drive=disk0 -drive id=disk0,if=none,format=raw,file=disk.img -device virtio-net-device,netdev=net0 -netdev user,id=net0,hostfwd=tcp::5555-:5555 -device virtio-gpu-device -vga none -nographic → --device virtio-blk-device,drive=disk0
# QEMU's own: system/replay.rst, microvm.rst, and what virt-install's libvirt writes
qemu-system-x86_64 -icount shift=auto,rr=record,rrfile=replay.bin -hda disk.img -net none → --record replay.bin
qemu-system-x86_64 -icount shift=auto,rr=replay,rrfile=replay.bin -hda disk.img -net none → --replay replay.bin
qemu-system-x86_64 -M microvm,x-option-roms=off,pit=off,pic=off,rtc=off -enable-kvm -cpu host -m 512m -smp 2 -kernel vmlinux -append console=ttyS0 -nodefaults -no-user-config -nographic -serial stdio -drive id=test,file=test.img,format=raw,if=none -device virtio-blk-device,drive=test → ✗ microvm.*q35
qemu-system-x86_64 -name guest=vm,debug-threads=on -S -machine pc-q35-7.2,usb=off,vmport=off,dump-guest-core=off,memory-backend=pc.ram -accel kvm -cpu host,migratable=on -m 2048 -object {"qom-type":"memory-backend-ram","id":"pc.ram","size":2147483648} -overcommit mem-lock=off -smp 2,sockets=2,cores=1,threads=1 -uuid 5f3e9a2c-1d2b-4c3d-8e9f-0a1b2c3d4e5f -no-user-config -nodefaults -chardev socket,id=charmonitor,path=mon.sock,server=on,wait=off -mon chardev=charmonitor,id=monitor,mode=control -rtc base=utc,driftfix=slew -global kvm-pit.lost_tick_policy=delay -no-hpet -no-shutdown -global ICH9-LPC.disable_s3=1 -boot strict=on -device {"driver":"pcie-root-port","port":16,"chassis":1,"id":"pci.1","bus":"pcie.0","addr":"0x2"} -blockdev {"driver":"file","filename":"vm.qcow2","node-name":"libvirt-1-storage","auto-read-only":true,"discard":"unmap"} -blockdev {"node-name":"libvirt-1-format","read-only":false,"driver":"qcow2","file":"libvirt-1-storage","backing":null} -device {"driver":"virtio-blk-pci","bus":"pci.1","addr":"0x0","drive":"libvirt-1-format","id":"virtio-disk0","bootindex":1} -chardev pty,id=charserial0 -device {"driver":"isa-serial","chardev":"charserial0","id":"serial0","index":0} -sandbox on,obsolete=deny -msg timestamp=on → --qmp unix:mon.sock & --paused & --smbios type=1,uuid=5f3e9a2c-1d2b-4c3d-8e9f-0a1b2c3d4e5f & file=vm.qcow2,format=qcow2
qemu-system-x86_64 -display none -daemonize -pidfile vm.pid -monitor unix:mon.sock,server,nowait -serial file:serial.log -hda disk.img → --daemonize & --serial file:serial.log
`)

/** 20 further ones. */
const FURTHER = lines(`
qemu-system-x86_64 -blockdev driver=file,node-name=f0,filename=disk.qcow2 -blockdev driver=qcow2,node-name=d0,file=f0 -device virtio-blk-pci,drive=d0,bootindex=1 → --drive if=none,id=d0,file=disk.qcow2,format=qcow2
qemu-system-x86_64 -smp 4 -m 2G -object memory-backend-ram,size=1G,id=m0 -object memory-backend-ram,size=1G,id=m1 -numa node,nodeid=0,memdev=m0,cpus=0-1 -numa node,nodeid=1,memdev=m1,cpus=2-3 -hda disk.img → --cpus 4
qemu-system-x86_64 -kernel bzImage -device i6300esb -watchdog-action poweroff -nographic → --device i6300esb,action=poweroff
qemu-system-x86_64 -kernel bzImage -device pvpanic -action panic=shutdown -nographic → --device pvpanic,action=shutdown
qemu-system-x86_64 -kernel bzImage -smbios type=11,value=io.systemd.credential:passwd.hashed-password.root= -nographic → --smbios type=11,value=
qemu-system-x86_64 -drive if=virtio,file=fcos.qcow2 -fw_cfg name=opt/com.coreos/config,file=config.ign -nic user,model=virtio,hostfwd=tcp::2222-:22 -m 2048 -nographic → file=config.ign
qemu-system-x86_64 -hda disk.img -object filter-dump,id=f0,netdev=n0,file=net.pcap -netdev user,id=n0 -device e1000,netdev=n0 → --netdev user,id=n0
qemu-system-x86_64 -rtc base=2006-06-17T16:01:21,clock=vm -hda disk.img → --rtc 2006-06-17T16:01:21
qemu-system-x86_64 -hda disk.img -device virtio-serial -chardev stdio,id=c0,mux=on,signal=off -mon chardev=c0 -device isa-serial,chardev=c0 → --monitor stdio
qemu-system-x86_64 -hda disk.img -qmp tcp:localhost:4444,server=on,wait=off -monitor none → --qmp tcp:localhost:4444
qemu-system-aarch64 -M virt,gic-version=max,its=on -cpu max -m 1G -bios QEMU_EFI.fd -device ramfb -device qemu-xhci -device usb-kbd -device usb-tablet -serial mon:stdio -cdrom a.iso → --machine virt,gic-version=3 & gic-version=max: it is 3 & --device ramfb
qemu-system-aarch64 -M virt,dumpdtb=virt.dtb -cpu max -nographic → --dumpdtb virt.dtb
qemu-system-x86_64 -machine q35,pflash0=code,pflash1=vars -blockdev node-name=code,driver=file,filename=OVMF_CODE.fd,read-only=on -blockdev node-name=vars,driver=file,filename=VARS.fd -cdrom a.iso → if=pflash
qemu-system-x86_64 -m 1G,slots=2,maxmem=4G -hda disk.img → --memory 1G
qemu-system-aarch64 -M virt -global virtio-mmio.force-legacy=false -kernel Image -device virtio-rng-device -device virtio-serial-device -chardev pty,id=c -device virtconsole,chardev=c -nographic → --device virtio-rng-device
qemu-system-x86_64 -kernel bzImage -action reboot=shutdown,shutdown=poweroff -nographic → --no-reboot
qemu-system-x86_64 -accel tcg -icount shift=7,align=off,sleep=on -kernel bzImage -nographic → --deterministic
qemu-system-aarch64 -M raspi3b -kernel kernel8.img -serial stdio → ✗ raspi3b.*virt
qemu-system-x86_64 -hda disk.img -display gtk,zoom-to-fit=on -device VGA,xres=1024,yres=768 -full-screen → --device VGA,xres=1024,yres=768
qemu-system-x86_64 -hda disk.img -device intel-iommu -device virtio-balloon-pci,id=b0 -device vmcoreinfo → --hda disk.img
`)

/** 44 lines of 40 further projects, found by a search for lines of QEMU's; those for other architectures were passed over. */
const PUBLIC = lines(`
# Lanthorn arch/x86/platform/qemu/qemu-run.sh; runtime.js qemu.sh; MintyKernel qemu.sh; BareMetal issue 11
qemu-system-x86_64 -kernel kernel.elf -m size=512M -smp 4 -nographic -serial mon:stdio -no-reboot → --memory 512M & --monitor stdio
qemu-system-x86_64 -m 512 -smp 1 -s -kernel disk/boot/runtime -initrd disk/boot/initrd -serial stdio → --gdb tcp:127.0.0.1:1234
qemu-system-i386 -cdrom myos.iso -monitor tcp:127.0.0.1:55555,server,nowait → --monitor tcp:127.0.0.1:55555 & wait=off
qemu-system-x86_64 -machine q35 -cpu core2duo -smp 2 -m 1024 -kernel ./boot.bin → --machine q35 & --cpus 2
# Exploits and challenges: cross_page_attack_demo boot.sh; UTCTF 2020; Total-POC-CVE CVE-2025-21692; S2E's start of an image
qemu-system-x86_64 -m 512M -kernel bzImage -initrd rootfs.cpio -append "root=/dev/ram rw console=ttyS0 oops=panic panic=1 quiet" -cpu qemu64,+smep,+smap -smp 4 -netdev user,id=t0, -device e1000,netdev=t0,id=nic0 -nographic -monitor /dev/null --no-reboot -gdb tcp::1234 → --gdb tcp:127.0.0.1:1234
qemu-system-x86_64 -m 64M -kernel bzImage -initrd ramfs.cpio -nographic -append "console=ttyS0 quiet nokaslr" -monitor /dev/null → --memory 64M
qemu-system-x86_64 -m 2G -smp 2 -cpu qemu64,+smep,+smap -kernel bzImage -initrd initramfs.cpio.gz -hdb flag.txt -snapshot -nographic -monitor /dev/null -no-reboot -append "console=ttyS0 nokaslr panic=1 pti=on" --trace vsocket_* -s -net nic,model=e1000 → --hdb flag.txt & --snapshot
qemu-system-x86_64 -drive file=image.raw.s2e,format=raw -k en-us -monitor null -m 256M -serial stdio → --memory 256M
# Redox issues 1015 and 901, and quickemu issue 1076; SerenityOS issue 24577
qemu-system-x86_64 -serial mon:stdio -d cpu_reset -d guest_errors -smp 4 -m 2048 -machine q35 -device ich9-intel-hda -device hda-duplex -net nic,model=e1000 -net user -net dump,file=build/network.pcap -device nec-usb-xhci,id=xhci -device usb-tablet,bus=xhci.0 -enable-kvm -cpu host -drive file=build/harddrive.bin,format=raw -drive file=build/extra.qcow2 → ✗ -net dump
qemu-system-x86_64 -m 1024 -cdrom livedisk.iso -vga std → --vga std
qemu-system-x86_64 -d cpu_reset,guest_errors -smp 4 -m 2048 -chardev stdio,id=debug,signal=off,mux=on, -serial chardev:debug -mon chardev=debug -machine q35 -device ich9-intel-hda -device hda-duplex -netdev user,id=net0 -device e1000,netdev=net0 -device nec-usb-xhci,id=xhci -enable-kvm -cpu host -drive file=redox_demo.img,format=raw → --monitor stdio & --device AC97
qemu-system-x86_64 -cpu max -m 2G -drive format=raw,index=0,media=disk,id=disk,file=serenity.img -smp 2 -drive format=raw,file=serenity_disk.img -device e1000 -device VGA,vgamem_mb=64 -accel kvm -chardev qemu-vdagent,clipboard=on,mouse=off,id=vdagent,name=vdagent -device ich9-intel-hda -display sdl,gl=off -device virtio-vga -serial stdio → --serial stdio
# Zephyr issue 72191; Hermit's loader and tutorial; OBOS scripts/launch_qemu.sh; Lilium debug.sh; a kernel of Limine's template
qemu-system-i386 -m 32 -cpu qemu32,+nx,+pae -machine q35 -device isa-debug-exit,iobase=0xf4,iosize=0x04 -no-reboot -nographic -net none -pidfile qemu.pid -chardev stdio,id=con,mux=on -serial chardev:con -mon chardev=con,mode=readline -icount shift=5,align=off,sleep=off -rtc clock=vm -kernel zephyr.elf → --monitor stdio & --deterministic
qemu-system-x86_64 -enable-kvm -cpu host -smp 1 -m 128M -device isa-debug-exit,iobase=0xf4,iosize=0x04 -display none -serial stdio -kernel hermit-loader -initrd app → --initrd app
qemu-system-x86_64 -cpu qemu64,apic,fsgsbase,fxsr,rdrand,rdtscp,xsave,xsaveopt -smp 1 -m 512M -device isa-debug-exit,iobase=0xf4,iosize=0x04 -display none -serial stdio -kernel rusty-loader -initrd hello_world → --initrd hello_world
qemu-system-x86_64 -drive file=out/obos.iso,format=raw -m 1G -gdb tcp:0.0.0.0:1234 -S -boot d -M q35 -cpu host -accel kvm -debugcon file:/dev/stdout -monitor stdio -serial tcp:0.0.0.0:1534,server,nowait -smp cores=4,threads=1,sockets=1 -M smm=off -d trace:*ahci*,trace:*ide* -D qemu_log.txt → --machine q35,smm=off & --gdb tcp:0.0.0.0:1234,wait & --serial tcp:0.0.0.0:1534
qemu-system-x86_64 -M q35 -s -S -drive if=pflash,unit=0,format=raw,file=ovmf/ovmf-code-x86_64.fd,readonly=on -drive if=pflash,unit=1,format=raw,file=ovmf/ovmf-vars-x86_64.fd -cdrom os-for-fun.iso → if=pflash,unit=1
qemu-system-x86_64 -M q35 -m 128M -smp 4 -serial stdio -d cpu_reset -d int -device qemu-xhci,id=xhci -device usb-tablet,bus=xhci.0,port=1 -no-reboot -no-shutdown -monitor telnet:127.0.0.1:1234,server,nowait -cdrom gewodsys.iso -boot d → --trace exceptions & --monitor tcp:127.0.0.1:1234
# Linux in tools: virtme-ng issues 78 and 190; linuxkit issue 2360; mkosi pull 1140; NEMU issue 160; vamOS pull 88
qemu-system-x86_64 -name virtme-ng -m 1G -fsdev local,id=virtfs5,path=/,security_model=none,readonly=on,multidevs=remap -device virtio-9p-pci,fsdev=virtfs5,mount_tag=/dev/root -machine accel=kvm:tcg -device i6300esb,id=watchdog0 -cpu host -parallel none -net none -echr 1 -serial none -chardev stdio,id=console,signal=off,mux=on -serial chardev:console -mon chardev=console -vga none -display none -smp 128 -kernel vmlinux.bin -append virtme_hostname=virtme-ng → --cpus 128 & --device i6300esb,id=watchdog0
qemu-system-aarch64 -name virtme-ng -m 1G -fsdev local,id=virtfs5,path=rootfs,security_model=none,readonly=on,multidevs=remap -device virtio-9p-device,fsdev=virtfs5,mount_tag=/dev/root -M virt -cpu cortex-a57 -parallel none -net none -echr 1 -chardev file,path=/proc/self/fd/2,id=dmesg -device virtio-serial-device -device virtconsole,chardev=dmesg -chardev stdio,id=console,signal=off,mux=on -serial chardev:console -mon chardev=console -vga none -display none -smp 4 -kernel Image -append console=hvc0 → path=/proc/self/fd/2
qemu-system-aarch64 -device virtio-rng-pci -smp 1 -m 1024 -uuid 60c2fbce-4e3e-4390-9241-ee425e1caefc -pidfile linuxkit-state/qemu.pid -cpu cortex-a57 -machine virt -kernel linuxkit-kernel -initrd linuxkit-initrd.img -append "console=tty0 console=ttyAMA0" -net nic,model=virtio,macaddr=16:da:11:b4:44:c9 -net user -nographic → mac=16:da:11:b4:44:c9
qemu-system-aarch64 -machine virt -smp 1 -m 1G -object rng-random,filename=/dev/urandom,id=rng0 -device virtio-rng-pci,rng=rng0,id=rng-device0 -cpu max -nographic -nodefaults -serial mon:stdio -drive if=pflash,format=raw,readonly=on,file=AAVMF_CODE.fd -drive if=virtio,id=hd,file=image.raw,format=raw → --device virtio-rng-pci,id=rng-device0
qemu-system-x86_64 -machine pc -enable-kvm -cpu host -m 1024,maxmem=20G,slots=2 -smp 6 -kernel bzImage -append "root=/dev/vda3 console=hvc0" -no-user-config -nodefaults -drive file=clear-18080-kvm.img,if=virtio,format=raw -nographic -device virtio-serial-pci,id=virtio-serial0,disable-modern -chardev stdio,id=charconsole0 -device virtconsole,chardev=charconsole0,id=console -monitor telnet:127.0.0.1:55555,server,nowait → --chardev stdio,id=charconsole0
qemu-system-aarch64 -machine virt -cpu cortex-a57 -smp 8 -m 4G -kernel Image -drive file=system_raw.img,if=virtio,format=raw -no-reboot -append "root=/dev/vda console=ttyAMA0" -nographic → ✗ 4G is too much
# Systems: a 9front sandbox; SBUnix README; GNU Hurd by AlmuHS; FreeBSD in Termux issue 5808; OpenBSD in emulators issue 8; Packer issue 7436
qemu-system-x86_64 -cpu host -enable-kvm -m 512 -cdrom 9front.iso -hda 9front.img -boot d -net nic -net user,hostfwd=tcp::17060-:17060 → --cdrom 9front.iso
qemu-system-x86_64 -curses -cdrom user.iso -drive id=disk,file=user.img,if=none -device ahci,id=ahci -device ide-drive,drive=disk,bus=ahci.0 -net nic -net user,hostfwd=tcp::10080-:80 -net user,hostfwd=tcp::10023-:23 --no-reboot -gdb tcp::9998 → hostfwd=tcp::10080-:80,hostfwd=tcp::10023-:23
qemu-system-i386 -S -s -m 2G -hda hurd.img -cdrom debian-hurd.iso -cpu coreduo -smp 4 -boot c -net user,hostfwd=tcp:127.0.0.1:2222-:22 -net nic,model=pcnet -enable-kvm -curses -no-reboot -no-shutdown -vga std -display gtk → arch=i386 & --display terminal
qemu-system-aarch64 -m 1024M -cpu cortex-a57 -M virt -bios QEMU_EFI.fd -serial telnet::4444,server -nographic -drive if=none,file=FreeBSD.qcow2,id=hd0 -device virtio-blk-device,drive=hd0 -device virtio-net-device,netdev=net0 -netdev user,id=net0 → --serial tcp:4444
qemu-system-aarch64 -M virt -m 512 -cpu cortex-a57 -bios QEMU_EFI.fd -drive file=miniroot68.img,format=raw,id=drive1 -drive file=obsd-arm64.qcow2,if=none,id=drive0,format=qcow2 -device virtio-blk-device,drive=drive0 -nographic -serial tcp::4450,server,telnet,wait → --serial tcp:4450
qemu-system-aarch64 -cdrom debian.iso -drive file=debian-arm64,if=virtio,cache=writeback,discard=ignore,format=qcow2 -m 1024 -boot once=d -name debian-arm64 -netdev user,id=user.0,hostfwd=tcp::2406-:22 -device virtio-net,netdev=user.0 -machine type=virt,accel=tcg -display sdl -vnc 127.0.0.1:34 → --display vnc=127.0.0.1:5934
# Firmware: coreboot mainboard/emulation/qemu-i440fx.md; Slim Bootloader issue 1050; qboot README; SeaBIOS by anatol; OP-TEE build issue 763
qemu-system-i386 -bios build/coreboot.rom -serial stdio -M pc → --firmware build/coreboot.rom
qemu-system-x86_64 -cpu max -machine q35 -m 256 --nographic -boot order=d -pflash Outputs/qemu/SlimBootloader.bin → file=Outputs/qemu/SlimBootloader.bin
qemu-kvm -bios bios.bin -kernel /boot/vmlinuz-4.0.3 -serial mon:stdio -append console=ttyS0,115200,8n1 → --firmware bios.bin
qemu-system-x86_64 -M q35 -m 200m -accel kvm -drive file=x86.bootsect,if=none,id=drive0,index=0,format=raw -device virtio-blk,drive=drive0 -chardev stdio,id=seabios -device isa-debugcon,iobase=0x402,chardev=seabios → --device isa-debugcon,iobase=0x402,chardev=stdio
qemu-system-aarch64 -nographic -smp 2 -cpu max,sme=on,pauth-impdef=on -d unimp -semihosting-config enable=on,target=native -m 1057 -bios bl1.bin -initrd rootfs.cpio.gz -kernel Image -append "console=ttyAMA0,38400 root=/dev/vda2" -object rng-random,filename=/dev/urandom,id=rng0 -device virtio-rng-pci,rng=rng0,max-bytes=1024,period=1000 -netdev user,id=vmnic -device virtio-net-device,netdev=vmnic -machine virt,acpi=off,secure=on,mte=off,gic-version=3,virtualization=false -s -S -serial tcp:127.0.0.1:54320 -serial tcp:127.0.0.1:54321 → ✗ semihosting
# Clouds and networks: QEMU docs/bootindex.txt; cloud-initramfs-tools rooturl; cloud-init seeds by rcj; Red Hat CoreOS by Bubblemelon; OSv wiki; IncludeOS issue 619
qemu-system-x86_64 -drive file=disk1.img,if=none,id=disk1 -device ide-hd,drive=disk1,bootindex=4 -drive file=disk2.img,if=none,id=disk2 -device virtio-blk-pci,drive=disk2,bootindex=3 -netdev type=user,id=net0 -device virtio-net-pci,netdev=net0,bootindex=2 -netdev type=user,id=net1 -device e1000,netdev=net1,bootindex=1 → bootindex=4 & --netdev user,id=net1
qemu-system-x86_64 -enable-kvm -device virtio-net-pci,netdev=net00 -netdev type=user,id=net00 -m 1G -nographic -kernel kernel -initrd initrd -append "root=http://10.0.2.2:9999/xenial.squashfs console=ttyS0" → --netdev user,id=net00
kvm -m 256 -net nic -net user,hostfwd=tcp::2222-:22 -drive file=boot-disk.img,if=virtio -drive file=seed.iso,if=virtio,media=cdrom -nographic → file=seed.iso,if=virtio,readonly=on
qemu-kvm -m 2048M -accel kvm -smp cores=4 -fw_cfg name=opt/com.coreos/config,file=key.ign -drive file=rhcos.qcow2.qemu -net nic,model=virtio -net user,hostfwd=tcp::2222-:22 → --cpus 4 & file=key.ign
qemu-system-x86_64 -vnc :1 -gdb tcp::1234,server,nowait -m 2G -smp 2 -chardev stdio,mux=on,id=stdio -mon chardev=stdio,mode=readline,default -device isa-serial,chardev=stdio -drive file=osv.qcow2,if=virtio,cache=unsafe -netdev tap,id=hn0,script=qemu-ifup.sh,vhost=on -device virtio-net-pci,netdev=hn0,id=nic1 -device virtio-rng-pci -enable-kvm -cpu host,+x2apic → ✗ tap
qemu-system-i386 -drive file=demo.img,format=raw,if=ide -device virtio-net,netdev=net0,mac=c0:01:0a:00:00:2a -netdev tap,id=net0,script=qemu-ifup -nographic -smp 4 -m 128 -k en-us -drive file=./smalldisk,if=virtio,media=disk → ✗ tap
# Consoles: pdumais' OperatingSystem issue 1; postmarketOS pmbootstrap pull 265; a kernel of GNU EFI (sea-dos)
qemu-system-x86_64 -curses -smp 4 -m 3000 -kernel image/disk.img -rtc base=localtime -monitor null -nographic -vnc :100 → --display vnc=127.0.0.1:6000
qemu-system-x86_64 -kernel vmlinuz-postmarketos -initrd initramfs-postmarketos -m 1024 -append "console=ttyAMA0,38400n8 PMOS_NO_OUTPUT_REDIRECT" qemu-amd64.img → --hda qemu-amd64.img
qemu-system-x86_64 -machine q35 -m 256M -drive if=pflash,format=raw,unit=0,readonly=on,file=OVMF_CODE_4M.fd -drive if=pflash,format=raw,unit=1,file=OVMF_VARS_4M.fd -drive if=ide,media=disk,format=raw,file=sea-dos.img -serial stdio -vga std -display gtk,gl=on,zoom-to-fit=off,window-close=on -rtc base=localtime -net none → --rtc localtime
`)

const wordsOf = (line: string): string[] =>
  (line.match(/"[^" ]+ [^"]*"|\S+/g) ?? []).map((word) => (word.includes('{') ? word : word.replaceAll('"', '')))

test.each([...LINES, ...FURTHER, ...PUBLIC])('%s', (line, wanted) => {
  const { options, complaints, notes } = translateLine(wordsOf(line), true)
  const text = [...options.flat(), ...notes].join(' ')
  const refused = [...complaints, ...options.flatMap(refusal)]
  if (wanted instanceof RegExp) return expect(refused).toEqual([expect.stringMatching(wanted)])
  expect(refused).toEqual([])
  for (const part of wanted) expect(text).toContain(part)
  expect(lost(wordsOf(line), text)).toEqual([])
})

test.each(['fat:rw:a', '-drive driver=vvfat,dir=a', '-blockdev {"driver":"vvfat","dir":"a"}'])(
  '%s is refused',
  (words) => expect(translateLine(words.split(' '), true).complaints).toEqual([expect.stringMatching(/--share/)]),
)

test('38 of 40 lines run, and 18 of 20 further ones', () => {
  const run = (lines: readonly Line[]): number => lines.filter(([, wanted]) => !(wanted instanceof RegExp)).length
  expect([LINES.length, FURTHER.length, run(LINES), run(FURTHER)]).toEqual([40, 20, 38, 19])
  expect([PUBLIC.length, run(PUBLIC)]).toEqual([44, 39])
})

const run = systemOptions(new Command('run')).option('--dumpdtb <file>')

/** Why `retrap run` does not take an option. */
function refusal([name, value]: readonly [string, string?]): string[] {
  const option = run.options.find(({ long }) => long === name)
  if (option === undefined) return [`there is no ${name}`]
  try {
    option.parseArg?.(value ?? '', undefined)
    if (name === '--nic') listNetworks({ nic: [value ?? ''] })
    return []
  } catch (error) {
    return [String(error)]
  }
}

/** What our line has of QEMU's switches; others are told by their names. */
const SWITCHES: Readonly<Record<string, RegExp>> = {
  nographic: /^(?!.*--display terminal)|-nographic/,
  s: /--gdb /,
  S: /--paused|,wait/,
  usb: /--device qemu-xhci/,
  curses: /--display terminal|-display curses/,
}
const ALONE =
  /^(nodefaults|enable-kvm|no-reboot|no-shutdown|snapshot|daemonize|full-screen|no-user-config|no-hpet|no-acpi)$/

/** Values of a line that are in none of our options and notes; numbers of VNC's displays are ports here. */
function lost(line: readonly string[], told: string): string[] {
  const has = (text: string): boolean =>
    new RegExp(`(?<![\\w.])${text.replaceAll(/[.+*]/g, '\\$&')}(?!\\w|\\.\\w)`, 'i').test(told)
  const missing: string[] = []
  for (let i = 1; i < line.length; i++) {
    const name = line[i]!.replace(/^--?/, '')
    if (Object.hasOwn(SWITCHES, name) || ALONE.test(name)) {
      if (!(SWITCHES[name]?.test(told) ?? has(`-${name}`))) missing.push(`-${name}`)
      continue
    }
    if (name === line[i]) i--
    const value = line[++i] ?? ''
    const isObject = value.startsWith('{')
    const words = isObject
      ? Object.entries(JSON.parse(value) as object).map(([key, one]) => `${key}=${one}`)
      : value.split(/(?<!,),(?!,)/)
    for (const [at, word] of words.entries()) {
      const [key, text] = word.includes('=') ? (word.split(/=(.*)/s) as [string, string]) : ['', word]
      const flag = at > 0 && key === '' ? /^(no)?(.*)$/.exec(word)! : undefined
      const bool = /^(on|true)$/.test(text) ? 'on' : /^(off|false)$/.test(text) ? 'off' : undefined
      const port = name === 'vnc' ? text.replace(/:(\d+)$/, (_, n) => `:${5900 + Number(n)}`) : text
      const isTold =
        bool === undefined
          ? port.split(/[^\w.+-]+/).every((part) => part === '' || has(part) || (name === 'm' && has(`${part}M`)))
          : has(`${key}=${bool}`)
      if (!isTold && !has(word) && (flag === undefined || !has(`${flag[2]}=${flag[1] === undefined ? 'on' : 'off'}`)))
        missing.push(`-${name} ${word}`)
    }
  }
  return missing
}

const STREAM =
  '={stdio|null|none|/dev/null|pty|file:@|unix:@,server=on,wait={on|off}|unix:@,server,nowait|tcp:127.0.0.1:#,server,nowait|tcp::#|telnet::#,server|mon:stdio|vc|@}'
/** QEMU's options with keys and values: `{a|b}` is one of them, `#` a number, `@` a word. The first key may be left out. */
const PARTS: Readonly<Record<string, string>> = {
  m: 'size=#0{M|G||} slots=# maxmem=#G',
  smp: 'cpus={#|#|1|2|4} maxcpus={#|4|8} cores={#|1|2} threads={1|2} sockets={1|2}',
  cpu: '={max|host|qemu64|Haswell-v4|EPYC|max|@}{|,+avx|,-sse4.1|,foo=#}',
  machine:
    'type={pc|q35|q35|pc-q35-7.2|pc-i440fx-6.1|virt|@} accel={kvm|tcg|kvm:tcg} smm={on|off|auto} vmport={on|off} @=#',
  M: 'type={q35|pc|pc-q35-#.1|virt} usb={on|off} graphics={on|off} dumpdtb=@.dtb kernel=@ hpet=off gic-version={2|3|max|#}',
  drive:
    'file=@.img if={virtio|ide|scsi|@} format={raw|qcow2} cache={none|unsafe|@} readonly={on|true} file.locking=off index=#',
  hda: '=@.img',
  kernel: '=@',
  append: '=@',
  bios: '=@',
  boot: 'order={c|d|a|dc} once={c|d} menu={on|off} strict={on|off} splash=@.jpg splash-time=#',
  nic: 'type={user|user|none} model={virtio|e1000|rtl8139} ipv6={on|off} id=@ hostfwd=tcp::#-:22 restrict={on|off}',
  net: 'type={user|nic|none|user|tap} vlan=# hostfwd=tcp::#-:80',
  device:
    'driver={virtio-rng-pci|virtio-balloon-pci|AC97|usb-tablet|isa-debug-exit|virtio-gpu-pci|@} id=@ max-bytes=# rng=@',
  serial: STREAM,
  monitor: STREAM,
  qmp: STREAM,
  debugcon: STREAM,
  parallel: STREAM,
  chardev: 'backend={null|stdio|file|socket|pty|@} id=@ path=@ mux={on|off} server={on|off} logfile=@ signal=off',
  vnc: '={:#|127.0.0.1:#|none|unix:@|@}{||,to=#|,password=on}',
  display: 'type={none|gtk|sdl|curses|none|@} gl={on|off} show-cursor={on|off} window-close=off',
  vga: '={std|none|qxl|virtio|cirrus|@}',
  k: '={de|en-us|fr|@}',
  rtc: 'base={utc|localtime|2026-01-0#} clock={host|vm|rt} driftfix={slew|none}',
  icount: 'shift={auto|7|#} align={on|off} rr={record|replay} rrfile=@',
  name: 'guest=@ process=@ debug-threads={on|off}',
  accel: 'accel={tcg|kvm|@} thread={multi|single} tb-size=#',
  overcommit: 'mem-lock={on|off} cpu-pm=on',
  msg: 'timestamp={on|off}',
  action: 'panic={pause|shutdown|none|@} reboot={reset|shutdown} shutdown={pause|poweroff} watchdog={reset|none}',
  'watchdog-action': '={pause|inject-nmi|@}',
  watchdog: '={i6300esb|ib700}',
  global: '={PIIX4_PM.disable_s3=#|virtio-mmio.force-legacy=false|isa-debugcon.iobase=0x4#|@}',
  d: '={int|in_asm|cpu_reset,int|guest_errors|unimp|@}',
  D: '=@.log',
  gdb: '=tcp::#{||,server,nowait}',
  L: '=/usr/share/@',
  trace: '=@_*',
  uuid: '=60c2fbce-4e3e-4390-9241-ee425e1ca#{0|1}',
  smbios: 'type={2|3} serial=@',
  fw_cfg: 'name=opt/@ string=@',
  virtfs: 'fsdriver=local path=@ mount_tag=@ security_model={none|mapped} multidevs={remap|@}',
  audiodev: 'driver={wav|pa|none|@} id=@ path=@.wav',
  soundhw: '={ac97|hda|all|@}',
  usbdevice: '={tablet|mouse|@}',
  object: 'qom-type={rng-random|memory-backend-ram|iothread} id=@ size=#M filename=/dev/@',
  numa: 'type=node nodeid=# cpus=#',
  zz: '=#',
}

/** A random line; its switches have no values. */
function drawnLine(draw: (below: number) => number): string[] {
  const one = <T>(of: readonly T[]): T => of[draw(of.length)]!
  const written = (text: string): string => {
    const next = text.replace(/\{([^{}]*)\}/, (_, of: string) => one(of.split('|')))
    if (next !== text) return written(next)
    return text.replace(/[#@]/g, (sign) =>
      sign === '#' ? `${1 + draw(97)}` : `${one(['ab', 'kern', 'zeta'])}${draw(900)}`,
    )
  }
  const line = [one(['qemu-system-x86_64', 'qemu-system-x86_64', 'qemu-system-i386', 'qemu-system-aarch64'])]
  for (let i = draw(5); i >= 0; i--) {
    if (draw(4) === 0) line.push(`-${one([...Object.keys(SWITCHES), 'nodefaults', 'snapshot', 'enable-kvm'])}`)
    const name = one(Object.keys(PARTS))
    const [head, ...others] = PARTS[name]!.split(' ').map(written)
    const rest = others.filter(() => draw(4) === 0)
    const named = head!.startsWith('=') || draw(2) === 0 ? [head!.replace(/^.*?=/, ''), ...rest] : [...rest, head!]
    line.push(`-${name}`, (/^(drive|overcommit|msg|action|smbios)$/.test(name) ? [head, ...rest] : named).join(','))
  }
  return line
}

test('each value of a line is in our line or in a note, or a sentence refuses the line', () => {
  const draw = numbers(7)
  let taken = 0
  for (let i = 0; i < 4000; i++) {
    const line = drawnLine(draw)
    const { options, notes, complaints } = translateLine(line, draw(2) === 0)
    if (complaints.length > 0 || options.flatMap(refusal).length > 0) continue
    taken++
    expect([line.join(' '), lost(line, [options.flat().join(' '), ...notes].join('\n'))]).toEqual([line.join(' '), []])
  }
  expect(taken).toBeGreaterThan(800)
})

/** Values that QEMU takes, to which three keys of PARTS are added with a word that is none of their values. */
const TAKEN: Readonly<Record<string, string>> = {
  m: '512',
  smp: '2',
  machine: 'pc',
  boot: 'order=c',
  rtc: 'base=utc',
  icount: 'shift=7',
  name: 'a',
  accel: 'tcg',
  overcommit: 'mem-lock=off',
  msg: 'timestamp=on',
  action: 'panic=none',
  display: 'none',
  chardev: 'null,id=a',
  drive: 'file=/dev/null,if=none,id=a,format=raw',
  nic: 'user',
}
const WRONG =
  '-m 512MB,-m 1e3,-smp 4;cores=3,-smp 2;maxcpus=1,-smp 4;sockets=1;cores=2;threads=1,-icount 12,-boot z,-M q35x,-vga ab,-d ab,-d int;ab,-uuid ab,-cpu ab,-serial ab,-monitor ab,-parallel ab,-debugcon ab,-gdb ab,-vnc ab,-display ab,-chardev ab;id=a,-chardev stdio,-netdev ab;id=a,-watchdog ab,-watchdog-action ab,-audiodev ab;id=a,-object ab;id=a,-fw_cfg name=ab,-mon chardev=ab,-smbios type=ab,-sandbox ab,-hda ab -hda ab,-global ab,-ab 1,-M virt,-M pc;gic-version=3'
const qemu = lackingPrograms('qemu-system-x86_64').length === 0
const folder = temporaryFolder('qemu-lines')

/** Whether QEMU takes a line; a machine without anything is the quickest. */
async function taken(words: readonly string[]): Promise<boolean> {
  const none = /^-(machine|M|smp)$/.test(words[0]!) ? [] : ['-M', 'none']
  const plain = [...none, '-S', '-display', 'none', '-nodefaults', '-monitor', 'stdio']
  const process = spawn('qemu-system-x86_64', [...plain, ...words], {
    cwd: folder,
    stdio: ['pipe', 'ignore', 'ignore'],
  })
  process.stdin.on('error', () => {})
  process.stdin.end('quit\n')
  return (await once(process, 'exit'))[0] === 0
}

test.runIf(qemu)(
  `a value that QEMU refuses is refused${skipNote(qemu, 'it needs qemu-system-x86_64')}`,
  { timeout: 60_000 },
  async () => {
    const drawn = Object.entries(TAKEN).flatMap(([name, value]) => {
      const parts = PARTS[name]!.split(' ').filter((part) => /=.*[{#]/.test(part))
      const keys = parts.slice(0, 3).map((part) => part.split('=')[0]!)
      return [...keys, 'ab'].map((key) => `-${name} ${value};${key}=ab7`)
    })
    const lines = [...drawn, ...WRONG.split(',')].map((line) =>
      line.split(' ').map((word) => word.replaceAll(';', ',')),
    )
    const wrong: string[] = []
    let refused = 0
    const check = async (): Promise<void> => {
      for (let line = lines.pop(); line !== undefined; line = lines.pop()) {
        if (await taken(line)) continue
        refused++
        const { options, complaints } = translateLine(['qemu-system-x86_64', ...line], false)
        if (complaints.length === 0 && options.flatMap(refusal).length === 0) wrong.push(line.join(' '))
      }
    }
    await Promise.all([check(), check(), check()])
    expect(wrong).toEqual([])
    expect(refused).toBeGreaterThan(70)
  },
)
