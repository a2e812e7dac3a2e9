#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
#   boot-guest [QEMU's arguments]
#
# Boots Debian's kernel in QEMU, in dom0, asks its shell a few things and powers it off. Prints what came
# over the guest's console, and "disk SUM" with the checksum that the guest should find. With Luvalley
# QEMU is an ordinary client of the KVM face; without, of Linux's kvm_amd.

set -u

if luvalley status >/dev/null 2>&1; then
	face="luvalley run"
else
	face=
	modprobe kvm_amd || exit
fi

cd /tmp || exit
[ -e guest.img ] || guest-initramfs guest.img || exit
head -c 1048576 /dev/urandom >"disk.$$"
echo "disk $(md5sum <"disk.$$")"

ask='echo answer $((6 * 7)) $(nproc); md5sum </dev/vda; ping -c 1 10.0.2.2'

coproc QEMU {
	exec $face qemu-system-x86_64 -accel kvm -m 128 -nodefaults -display none -serial stdio -no-reboot \
		-kernel /boot/vmlinuz-cloud -initrd guest.img -append "console=ttyS0 quiet panic=-1" \
		-drive "file=disk.$$,format=raw,if=virtio" \
		-netdev user,id=net -device virtio-net-pci,netdev=net,romfile= "$@" 2>&1
}
client=$QEMU_PID
exec 3<&"${QEMU[0]}" 4>&"${QEMU[1]}"
while IFS= read -r line <&3; do
	printf '%s\n' "$line"
	case $line in
	*'"poweroff -f" ends it.'*) printf '%s; poweroff -f\n' "$ask" >&4 ;;
	esac
done
wait "$client"
status=$?
rm -f "disk.$$"
exit $status
